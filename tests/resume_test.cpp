// Runs that go on from a checkpoint: to the bit as if nothing had happened, whatever the ranks average and wherever they
// were; with other numbers of ranks; and which options may change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/smooth_training.hpp"
#include "train/checkpoint/checkpoint_folder.hpp"
#include "train/checkpoint/resume.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using namespace test;
using testing::HasSubstr;

// Without what no two runs have in common.
nlohmann::json without_times(nlohmann::json row) {
  for (const char* field : {"elapsed_seconds", "train_seconds", "images_per_second", "wait_seconds"}) row.erase(field);
  return row;
}

std::vector<nlohmann::json> lines_of(const fs::path& file) {
  std::vector<nlohmann::json> rows;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) rows.push_back(without_times(nlohmann::json::parse(line)));
  return rows;
}

nlohmann::json results_of(const fs::path& run) {
  nlohmann::json summary = without_times(summary_of(run));
  for (const char* field : {"seconds", "startup_seconds", "evaluation_seconds", "checkpoint_seconds", "peak_host_bytes",
                            "peak_device_bytes", "communication_seconds", "exposed_communication_seconds",
                            "resumed_at_step", "command_line", "configuration"}) {
    summary.erase(field);
  }
  return summary;
}

class Resume : public SmoothTraining {
 protected:
  // As if the run's process had died after it wrote the checkpoint of `step`, and gone on from there.
  fs::path resumed(const fs::path& run, std::int64_t step, int workers, const Settings& more = {}) {
    const fs::path copy = folder_.path() / ("resumed-" + std::to_string(++copies_));
    fs::copy(run, copy, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    fs::remove(copy / "weights.safetensors");
    const CheckpointFolder checkpoints(copy);
    for (const std::int64_t later : checkpoints.steps()) {
      if (later > step) fs::remove_all(checkpoints.checkpoint(later));
    }
    go_on(resolve_resuming("", Settings{{"resume", "auto"}, {"out", copy.string()}} + more), workers);
    return copy;
  }

  // An undisturbed run equals those that go on at each of `steps`, multiples of `every`.
  void expect_bit_exact(const Settings& settings, int every, const std::vector<std::int64_t>& steps, int workers = 1) {
    const fs::path whole = run(settings + Settings{{"checkpoint-every", std::to_string(every)},
                                                   {"keep-checkpoints", "100"},
                                                   {"log-every", "3"},
                                                   {"log-ranks", "true"}},
                               workers);
    for (const std::int64_t step : steps) {
      const fs::path again = resumed(whole, step, workers);
      EXPECT_EQ(weights_of(again), weights_of(whole)) << "resumed after step " << step;
      EXPECT_EQ(lines_of(again / "metrics.jsonl"), lines_of(whole / "metrics.jsonl")) << step;
      EXPECT_EQ(lines_of(again / "ranks" / "0.jsonl"), lines_of(whole / "ranks" / "0.jsonl")) << step;
      EXPECT_EQ(results_of(again), results_of(whole)) << step;
      EXPECT_EQ(summary_of(again)["resumed_at_step"], step);
    }
  }

 private:
  int copies_ = 0;
};

Settings average(const std::string& policy, int virtual_ranks) {
  return {{"average", policy}, {"virtual-ranks", std::to_string(virtual_ranks)}};
}

// kUneven has two epochs of eleven steps.
TEST_F(Resume, one_rank_goes_on_to_the_bit_wherever_it_was) {
  expect_bit_exact(smooth_norm() + kUneven + kNesterov, 1, {1, 7, 11, 12, 22});
}

TEST_F(Resume, with_every_optimizer) {
  for (const Settings& optimizer : {kAdam, kMuon}) expect_bit_exact(smooth() + kUneven + optimizer, 4, {4, 12});
}

TEST_F(Resume, with_every_averaging_policy) {
  const Settings slowmo = {{"outer", "slowmo"}}, nesterov = {{"outer", "nesterov"}};
  const Settings delayed = {{"average-delay", "1"}}, two_levels = {{"average-node", "every:2"}, {"node-size", "2"}};
  const Settings moments = {{"moments", "average"}}, reset = {{"moments", "reset"}}, ema = {{"ema", "0.9"}};
  struct Case {
    const char* policy;
    Settings more;
  };
  for (const Case& c : {Case{"step", {}}, Case{"step", ema}, Case{"every:3", slowmo}, Case{"every:3", ema},
                        Case{"every:3", delayed}, Case{"every:3", delayed + moments}, Case{"every:7", two_levels},
                        Case{"every:3", nesterov + reset}, Case{"epoch", {}}, Case{"never", {}}, Case{"end", {}},
                        Case{"post-local:1,3", {}}, Case{"quadratic:0.001,3", moments}}) {
    SCOPED_TRACE(std::string(c.policy) + (c.more.empty() ? "" : " " + c.more.front().option));
    // 4 and 8 lie between averages, and after 12 steps a delayed one is under way.
    expect_bit_exact(smooth_norm() + kUneven + kNesterov + average(c.policy, 4) + c.more, 4, {4, 8, 12});
  }
}

TEST_F(Resume, with_many_workers) {
  for (const char* policy : {"step", "every:3"}) {
    SCOPED_TRACE(policy);
    expect_bit_exact(smooth_norm() + kUneven + kNesterov + average(policy, 2), 4, {4, 12}, 2);
  }
  expect_bit_exact(smooth_norm() + kUneven + kNesterov + average("every:3", 1) + Settings{{"average-delay", "1"}}, 3,
                   {3, 9}, 3);
}

TEST_F(Resume, whichever_way_images_come_and_are_augmented) {
  const Settings augmented = {{"flip", "alternating"}, {"translate", "2"}, {"cutout", "8"}};
  for (const char* mode : {"resident", "staged"}) {
    SCOPED_TRACE(mode);
    expect_bit_exact(smooth_norm() + kUneven + kNesterov + augmented + Settings{{"data-mode", mode}}, 5, {5, 15});
    expect_bit_exact(smooth_norm() + kUneven + kNesterov + augmented + average("every:4", 2) +
                         Settings{{"data-mode", mode}, {"recalibrate", "2"}},
                     5, {5, 15});
  }
}

}  // namespace
}  // namespace convoy
