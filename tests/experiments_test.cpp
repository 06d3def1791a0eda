// tools/experiments/recipe: several seeds of one recipe, the table of their means, and going on where it stopped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

#ifndef CONVOY_TEST_EXECUTABLE
#define CONVOY_TEST_EXECUTABLE ""
#endif

namespace convoy::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::json;

class RecipeExperiment : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
    if (run_shell("python3 --version").code != 0) GTEST_SKIP() << "no python3 on the PATH";
  }

  ShellOutcome experiment(const std::string& options) const {
    return run_shell("cd '" + folder_.path().string() +
                     "' && python3 '" CONVOY_TEST_SOURCE_DIR
                     "/tools/experiments/recipe' seed-baseline --convoy '" CONVOY_TEST_EXECUTABLE
                     "' --data synthetic:200 --epochs 2 --threads 1 --out runs " +
                     options + " 2>&1");
  }
  std::filesystem::path run(int seed) const { return folder_.path() / "runs" / ("seed-" + std::to_string(seed)); }
  Json summary(int seed) const { return Json::parse(std::ifstream(run(seed) / "summary.json")); }
  // test_accuracy after an epoch, from the run's metrics.
  double accuracy(int seed, int epoch) const {
    std::ifstream metrics(run(seed) / "metrics.jsonl");
    for (std::string line; std::getline(metrics, line);) {
      const Json row = Json::parse(line);
      if (row["kind"] == "epoch" && row["epoch"] == epoch) return row["test_accuracy"];
    }
    return -1;
  }

  TemporaryFolder folder_;
};

struct Row {
  double mean = -1, deviation = -1;
  int count = 0;
};

Row row_of(const std::string& table, const std::string& name) {
  Row row;
  const std::size_t at = table.find("\n" + name + " ");
  if (at != std::string::npos) {
    std::istringstream(table.substr(at + 1 + name.size())) >> row.mean >> row.deviation >> row.count;
  }
  return row;
}

void expect_row_of_two(const Row& row, double first, double second) {
  constexpr double kRounding = 0.00006;  // four printed digits
  EXPECT_EQ(row.count, 2);
  EXPECT_NEAR(row.mean, (first + second) / 2, kRounding);
  EXPECT_NEAR(row.deviation, std::abs(first - second) / std::sqrt(2.0), kRounding);
}

TEST_F(RecipeExperiment, prints_mean_and_deviation_of_each_epoch_and_of_the_end) {
  const ShellOutcome outcome = experiment("--seeds 2 --first-seed 3");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  for (const int epoch : {1, 2}) {
    expect_row_of_two(row_of(outcome.output, "test accuracy, epoch " + std::to_string(epoch)), accuracy(3, epoch),
                      accuracy(4, epoch));
  }
  expect_row_of_two(row_of(outcome.output, "final test accuracy"), summary(3)["test_accuracy"],
                    summary(4)["test_accuracy"]);
  EXPECT_NE(summary(3)["test_loss"], summary(4)["test_loss"]);
  expect_row_of_two(row_of(outcome.output, "final test loss"), summary(3)["test_loss"], summary(4)["test_loss"]);
  EXPECT_GT(row_of(outcome.output, "seconds").mean, 0);
}

TEST_F(RecipeExperiment, goes_on_where_it_stopped) {
  ASSERT_EQ(experiment("--seeds 1").code, 0);
  const std::string first = summary(0)["started"].get<std::string>() + summary(0)["seconds"].dump();
  ASSERT_EQ(experiment("--seeds 2").code, 0);
  EXPECT_EQ(summary(0)["started"].get<std::string>() + summary(0)["seconds"].dump(), first);

  Json interrupted = summary(1);
  interrupted["state"] = "stopped";
  interrupted["reason"] = "signal 2";
  std::ofstream(run(1) / "summary.json") << interrupted;
  const ShellOutcome again = experiment("--seeds 2");
  EXPECT_THAT(again.output, HasSubstr("seed-0: done before"));
  EXPECT_THAT(again.output, Not(HasSubstr("seed-1: done before")));
  EXPECT_EQ(summary(1)["state"], "done");
}

TEST_F(RecipeExperiment, does_not_mix_runs_of_other_options) {
  ASSERT_EQ(experiment("--seeds 1 --steps 1").code, 0);
  const ShellOutcome other = experiment("--seeds 1 --steps 2");
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.output, HasSubstr("comes from other options"));
  const ShellOutcome own = experiment("--seeds 1 --seed 7");
  EXPECT_EQ(own.code, 2);
}

TEST_F(RecipeExperiment, ends_with_the_exit_status_of_a_run_that_failed) {
  const ShellOutcome outcome = experiment("--seeds 2 --optimizer adan");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.output, HasSubstr("seed 0 ended with exit status 2"));
}

}  // namespace
}  // namespace convoy::test
