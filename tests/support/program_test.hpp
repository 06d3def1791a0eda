// Tests of the whole program, as scripts of a shell in a folder of their own.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "support/places.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

namespace convoy::test {

class ProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    if (executable().empty()) GTEST_SKIP() << "built without the executable";
  }

  std::filesystem::path file(const std::string& name) const { return folder_.path() / name; }
  // In the test's folder; "$CONVOY" is the program, "$launch" 2 starts two processes of it.
  ShellOutcome shell(const std::string& script) const {
    return run_shell("cd '" + folder_.path().string() + "'\nexport CONVOY='" + executable().string() +
                     "' OMPI_MCA_rmaps_base_oversubscribe=1\nlaunch='" + source_folder().string() + "/tools/launch'\n" +
                     script);
  }
  // For a script: waits until that holds; for so long at most.
  static std::string wait_for(const std::string& condition, int seconds = 120) {
    return "end=$(($(date +%s) + " + std::to_string(seconds) + ")); while [ $(date +%s) -lt $end ]; do if " +
           condition + "; then break; fi; sleep 0.1; done\n";
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace convoy::test
