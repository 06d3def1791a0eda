// A build without oneDNN has no CPU backend, and says so wherever one is asked for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

test::ShellOutcome convoy(const std::string& arguments) {
  const TemporaryFolder place;
  return test::run_shell("cd '" + place.path().string() + "' && env -u CONVOY_DATA '" CONVOY_TEST_EXECUTABLE "' " +
                         arguments + " 2>&1");
}

TEST(WithoutOneDnn, info_says_why_there_is_no_cpu_backend) {
  const auto outcome = convoy("info --devices");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.output, testing::ContainsRegex("cpu +no: this build has no oneDNN"));
}

TEST(WithoutOneDnn, a_run_on_the_cpu_is_refused_in_a_line_that_says_what_to_do) {
  const auto outcome = convoy("train --data synthetic:100 --device cpu");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.output,
              AllOf(StartsWith("convoy: --device cpu: this build has no oneDNN"), HasSubstr("libdnnl-dev")));
  EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
}

TEST(WithoutOneDnn, what_computes_nothing_still_runs) {
  EXPECT_EQ(convoy("info --model airbench94").code, 0);
  EXPECT_EQ(convoy("data synthetic:100").code, 0);
}

}  // namespace
}  // namespace convoy
