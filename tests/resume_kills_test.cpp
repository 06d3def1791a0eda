// labels: slow
// needs: oneDNN
// The short version of tools/experiments/kills: a run that is killed at random moments ends as if it had not been.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

class Kills : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
    if (test::run_shell("python3 --version").code != 0) GTEST_SKIP() << "no python3 on the PATH";
  }
  test::ShellOutcome kills(const std::string& options) const {
    return test::run_shell("OMPI_MCA_rmaps_base_oversubscribe=1 '" CONVOY_TEST_SOURCE_DIR
                           "/tools/experiments/kills' --convoy '" CONVOY_TEST_EXECUTABLE "' --out '" +
                           folder_.path().string() + "' " + options + " 2>&1");
  }

  TemporaryFolder folder_;
};

TEST_F(Kills, at_random_moments_change_nothing) {
  const auto outcome = kills("--count 10");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, testing::HasSubstr("10 kills in "));
}

TEST_F(Kills, of_all_processes_of_a_job_neither) {
  if (test::run_shell("command -v mpirun").code != 0) GTEST_SKIP() << "no mpirun on the PATH";
  const auto outcome = kills(
      "--count 4 --processes 2 --data synthetic:600 --batch 60 --epochs 3 --threads 1 --optimizer adam "
      "--learning-rate 1e-3 --log-every 4 --test-images 60 --average every:3 --checkpoint-every 3");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
}

}  // namespace
}  // namespace convoy
