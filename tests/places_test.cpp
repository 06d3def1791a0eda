// Where the other tests look for what they need, once they have been taken to another machine.
#include "support/places.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iostream>

#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

namespace convoy::test {
namespace {

namespace fs = std::filesystem;

// What the copy of this program in a packed folder runs.
TEST(Places, DISABLED_are_told) { std::cout << executable() << source_folder() << preload("clock") << std::endl; }

TEST(Places, of_a_program_in_a_packed_folder_are_there) {
  const TemporaryFolder made;
  const fs::path folder = made.path() / "packed one", program = folder / "tests" / "gpu_tests";
  for (const char* part : {"tests", "tools"}) fs::create_directories(folder / part);
  for (const char* part : {"convoy", "tools/gpu_acceptance"}) std::ofstream(folder / part) << "";
  fs::copy_file(fs::read_symlink("/proc/self/exe"), program);
  const ShellOutcome outcome = run_shell("cd / && '" + program.string() +
                                         "' --gtest_also_run_disabled_tests --gtest_filter=Places.DISABLED_are_told");
  EXPECT_EQ(outcome.code, 0);
  const std::string root = "\"" + folder.string();
  EXPECT_THAT(outcome.output,
              testing::HasSubstr(root + "/convoy\"" + root + "\"" + root + "/tests/preload/clock.so\""));
}

TEST(Places, of_a_program_in_its_build_are_the_builds) {
  EXPECT_EQ(executable(), CONVOY_TEST_EXECUTABLE);
  EXPECT_TRUE(fs::exists(source_folder() / "tests" / "places_test.cpp"));
  EXPECT_TRUE(fs::exists(preload("clock")));
}

}  // namespace
}  // namespace convoy::test
