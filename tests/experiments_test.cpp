// The experiments in tools/: several seeds of one recipe or of many cells, their tables, and going on where they
// stopped.
// needs: oneDNN
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/markdown.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

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

  // In the folder; of what is given twice the last counts.
  static std::string command(const std::string& options) {
    return "python3 '" CONVOY_TEST_SOURCE_DIR
           "/tools/experiments/recipe' seed-baseline --convoy '" CONVOY_TEST_EXECUTABLE
           "' --data synthetic:200 --epochs 2 --threads 1 --out runs " +
           options + " 2>&1";
  }
  ShellOutcome in_folder(const std::string& script) const {
    return run_shell("cd '" + folder_.path().string() + "' && " + script);
  }
  ShellOutcome experiment(const std::string& options) const { return in_folder(command(options)); }
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
  EXPECT_THAT(outcome.output, HasSubstr("seed-0 ended with exit status 2"));
}

TEST_F(RecipeExperiment, trains_several_at_a_time_each_as_it_would_alone) {
  if (run_shell("test $(nproc) -ge 2").code != 0) GTEST_SKIP() << "one core";
  const ShellOutcome outcome = experiment("--seeds 3 --jobs 2");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_EQ(row_of(outcome.output, "final test accuracy").count, 3);
  const double together[] = {summary(0)["test_loss"], summary(1)["test_loss"], summary(2)["test_loss"]};
  for (const int seed : {0, 1, 2}) {
    EXPECT_THAT(outcome.output, HasSubstr("seed-" + std::to_string(seed) + ": test accuracy "));
    EXPECT_THAT(outcome.output, HasSubstr(" [" + std::to_string(seed + 1) + " of 3]"));
    std::filesystem::remove_all(run(seed));
  }
  ASSERT_EQ(experiment("--seeds 3").code, 0);
  for (const int seed : {0, 1, 2}) EXPECT_EQ(summary(seed)["test_loss"], together[seed]) << seed;

  const ShellOutcome held_out = experiment("--seeds 1 --first-seed 3 --jobs 2 --validation 40");
  EXPECT_THAT(held_out.output, HasSubstr("seed-3: validation accuracy "));  // as long as anything is chosen by it
  std::filesystem::remove_all(run(3));

  const ShellOutcome failed = experiment("--seeds 5 --first-seed 3 --jobs 2 --optimizer adan");
  EXPECT_EQ(failed.code, 2);
  EXPECT_THAT(failed.output, HasSubstr("--optimizer"));  // what the run has said
  EXPECT_THAT(failed.output, HasSubstr("ended with exit status 2"));
  EXPECT_THAT(failed.output, Not(HasSubstr("--seed 7")));  // none is started after it
}

TEST_F(RecipeExperiment, stops_its_trainings_when_it_is_stopped) {
  if (run_shell("test $(nproc) -ge 2").code != 0) GTEST_SKIP() << "one core";
  const std::string two_run =
      "[ $(grep -l '\"state\": \"running\"' runs/seed-*/summary.json 2>/dev/null | wc -l) = 2 ]";
  const ShellOutcome outcome = in_folder("{ " + command("--data synthetic:2000 --epochs 100000 --seeds 3 --jobs 2") +
                                         " & for i in $(seq 300); do " + two_run +
                                         " && break; sleep 0.1; done; kill -TERM $!; wait $!; echo status $?; }");
  EXPECT_THAT(outcome.output, HasSubstr("interrupted; the same command goes on from there\nstatus 130"));
  for (const int seed : {0, 1}) EXPECT_EQ(summary(seed)["state"], "stopped") << seed;
  EXPECT_FALSE(std::filesystem::exists(run(2)));
}

// tools/experiments/averaging: what stands in its table is what the runs' summaries say.
class AveragingExperiment : public RecipeExperiment {
 protected:
  ShellOutcome averaging(const std::string& options) const {
    return in_folder("python3 '" CONVOY_TEST_SOURCE_DIR
                     "/tools/experiments/averaging' --convoy '" CONVOY_TEST_EXECUTABLE
                     "' --data synthetic:300 --epochs 1 --threads 1 --ranks 2 --policies every:4 step --out runs " +
                     options + " 2>&1");
  }
  double accuracy_of(const std::string& cell, int seed) const {
    const auto path = folder_.path() / "runs/seed" / cell / ("seed-" + std::to_string(seed)) / "summary.json";
    return Json::parse(std::ifstream(path))["test_accuracy"];
  }
};

TEST_F(AveragingExperiment, gives_each_cell_s_gap_to_one_rank_paired_by_seed) {
  const ShellOutcome outcome = averaging("--regime rank --seeds 2");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const std::vector<std::string> row = table_row(outcome.output, "2 ranks, every:4");
  ASSERT_EQ(row.size(), 8U) << outcome.output;
  double gap[2], same_batch[2];
  for (const int seed : {0, 1}) {
    const double found = accuracy_of("rank/2_ranks-every:4", seed);
    gap[seed] = 100 * (accuracy_of("rank/one_rank", seed) - found);
    same_batch[seed] = 100 * (accuracy_of("rank/one_rank-batch_of_2", seed) - found);
  }
  constexpr double kRounding = 0.0051;  // two printed digits
  constexpr double kStudent = 12.706;   // one degree of freedom
  double mean = 0, half = 0;
  ASSERT_EQ(std::sscanf(row[2].c_str(), " %lf ± %lf", &mean, &half), 2) << row[2];
  EXPECT_NEAR(mean, (gap[0] + gap[1]) / 2, kRounding);
  EXPECT_NEAR(half, kStudent * std::abs(gap[0] - gap[1]) / 2, kRounding);
  ASSERT_EQ(std::sscanf(row[4].c_str(), " %lf", &mean), 1) << row[4];
  EXPECT_NEAR(mean, (same_batch[0] + same_batch[1]) / 2, kRounding);
  EXPECT_EQ(std::stoi(row[5]), 3);  // 300 images in global batches of 128

  const ShellOutcome again = averaging("--regime rank --seeds 2");
  EXPECT_EQ(table_row(again.output, "2 ranks, every:4"), row);
  EXPECT_THAT(again.output, HasSubstr("2_ranks-every:4/seed-1: done before"));
}

TEST_F(AveragingExperiment, trains_every_cell_by_the_recipe_given) {
  const std::string recipe = (folder_.path() / "own.toml").string();
  std::ofstream(recipe) << "model = \"seed\"\nbatch = 50\nbatch-per-rank = 50\nlearning-rate = 0.25\n";
  const ShellOutcome outcome = averaging("--regime rank --seeds 1 --recipe '" + recipe + "'");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const auto expect = [&](const std::string& cell, int steps) {  // for 300 images
    const Json summary = Json::parse(std::ifstream(folder_.path() / "runs/own" / cell / "seed-0/summary.json"));
    EXPECT_EQ(summary["configuration"]["learning-rate"], 0.25) << cell;
    EXPECT_EQ(summary["steps"], steps) << cell;
  };
  expect("rank/one_rank", 6);
  for (const char* cell : {"rank/one_rank-batch_of_2", "rank/2_ranks-every:4", "rank/2_ranks-step"}) expect(cell, 3);
  EXPECT_THAT(outcome.output, HasSubstr("own on synthetic:300"));

  ASSERT_EQ(averaging("--regime batch --seeds 1 --recipe '" + recipe + "'").code, 0);
  for (const char* cell : {"batch/one_rank", "batch/2_ranks-every:4", "batch/2_ranks-step"}) expect(cell, 6);
  ASSERT_EQ(averaging("--regime batch --seeds 1 --batch 100 --out larger --recipe '" + recipe + "'").code, 0);
  for (const char* cell : {"batch/one_rank", "batch/2_ranks-every:4", "batch/2_ranks-step"}) {
    EXPECT_EQ(Json::parse(std::ifstream(folder_.path() / "larger/own" / cell / "seed-0/summary.json"))["steps"], 3);
  }
}

TEST_F(AveragingExperiment, gives_a_cell_options_of_its_own) {
  const ShellOutcome outcome = averaging(
      "--regime rank --seeds 1 --batch 32 --learning-rate 0.5 --with every:4 '--learning-rate 0.25 --momentum 0.5' "
      "--with 'same batch' '--learning-rate 0.125'");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const std::pair<const char*, double> rates[] = {
      {"one_rank", 0.5}, {"one_rank-batch_of_2", 0.125}, {"2_ranks-every:4", 0.25}, {"2_ranks-step", 0.5}};
  for (const auto& [cell, rate] : rates) {
    const auto path = folder_.path() / "runs/seed/rank" / cell / "seed-0/summary.json";
    const Json summary = Json::parse(std::ifstream(path));
    EXPECT_EQ(summary["configuration"]["learning-rate"], rate) << cell;
    EXPECT_EQ(summary["steps"], std::string_view(cell) == "one_rank" ? 10 : 5) << cell;  // of 300 images
  }
}

TEST_F(AveragingExperiment, trains_each_cell_as_tuning_has_found_best_for_it) {
  const ShellOutcome outcome = averaging(
      "--regime batch --seeds 1 --data synthetic:1500 --held-out 300 --tune '--learning-rate 0.25' '--learning-rate "
      "0'");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  for (const std::string cell : {"one_rank", "2_ranks-every:4", "2_ranks-step"}) {
    const auto summary = [&](const std::string& run) {
      return Json::parse(std::ifstream(folder_.path() / "runs/seed/batch" / cell / run / "summary.json"));
    };
    const double accuracies[] = {summary("tuning-0")["validation_accuracy"],
                                 summary("tuning-1")["validation_accuracy"]};
    EXPECT_EQ(summary("seed-0")["configuration"]["learning-rate"], accuracies[0] >= accuracies[1] ? 0.25 : 0) << cell;
    EXPECT_EQ(summary("tuning-1")["configuration"]["validation"], 300) << cell;
    EXPECT_EQ(summary("seed-0")["configuration"]["validation"], 0) << cell;
  }
  const std::vector<std::string> row = table_row(outcome.output, "2 ranks, step");  // the first table's
  EXPECT_EQ(row.size(), 3U + 8U);
}

// Of made-up runs: what is best known of an interval.
TEST_F(AveragingExperiment, says_whether_an_aim_is_reached_only_where_the_interval_does) {
  const auto verdict = [](const std::string& gaps) {
    return run_shell("PYTHONDONTWRITEBYTECODE=1 PYTHONPATH='" CONVOY_TEST_SOURCE_DIR
                     "/tools' python3 -c 'from runs.gaps import verdict; print(verdict(" +
                     gaps + ", 0.3))' 2>&1")
        .output;
  };
  EXPECT_EQ(verdict("[0.1, 0.12, 0.08]"), "reached\n");
  EXPECT_EQ(verdict("[0.9, 0.92, 0.88]"), "missed\n");
  EXPECT_EQ(verdict("[0.1, 0.9, -0.4]"), "not resolved\n");
  EXPECT_EQ(verdict("[0.5, 1.9, -0.4]"), "not resolved\n");
  EXPECT_EQ(verdict("[0.1]"), "one seed\n");
}

TEST_F(AveragingExperiment, refuses_options_that_it_gives_itself) {
  const ShellOutcome outcome = averaging("--batch-per-rank 32");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.output, HasSubstr("--batch-per-rank is given to each run"));
  const ShellOutcome unknown = averaging("--with every:5 '--seed 1'");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.output, HasSubstr("--with every:5: one of one rank, same batch, every:4, step"));
  const ShellOutcome held = averaging("--tune '--learning-rate 1' --validation 10");
  EXPECT_EQ(held.code, 2);
  EXPECT_THAT(held.output, HasSubstr("--tune holds images out by itself"));
  const ShellOutcome hidden = averaging("--with every:4 '--batch 32'");
  EXPECT_EQ(hidden.code, 2);
  EXPECT_THAT(hidden.output, HasSubstr("--batch is given to each run"));
}

}  // namespace
}  // namespace convoy::test
