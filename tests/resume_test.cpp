// needs: oneDNN
// Runs that go on from a checkpoint: to the bit as if nothing had happened, whatever the ranks average and wherever
// they were; with other numbers of ranks; and which options may change.
#include "train/checkpoint/resume.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/backends.hpp"
#include "support/smooth_training.hpp"
#include "train/checkpoint/checkpoint_folder.hpp"
#include "train/checkpoint/loaded_checkpoint.hpp"
#include "train/plans_file.hpp"
#include "train/run_options.hpp"
#include "train/weights_file.hpp"

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

void flip_bit(const fs::path& file) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(-5, std::ios::end);
  const int byte = stream.get();
  stream.seekp(-5, std::ios::end);
  stream.put(static_cast<char>(byte ^ 4));
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

  // What the user sees of it.
  std::string said_when_resumed(const fs::path& run, int workers, const Settings& more = {}) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> terminal(std::tmpfile(), &std::fclose);
    const Settings here = {{"resume", "auto"}, {"out", run.string()}};
    go_on(resolve_resuming("", here + more), workers, terminal.get());
    std::rewind(terminal.get());
    std::string said;
    for (int c; (c = std::fgetc(terminal.get())) != EOF;) said += static_cast<char>(c);
    return said;
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
  // Restored at the end, the average is taken and its statistics are anew, what was tested before it is there still.
  const fs::path whole =
      run(smooth_norm() + kUneven + kNesterov + average("end", 2) + Settings{{"checkpoint-every", "11"}}, 2);
  const fs::path again = resumed(whole, 22, 2);
  EXPECT_EQ(weights_of(again), weights_of(whole));
  EXPECT_EQ(summary_of(again)["local_test_accuracy"], summary_of(whole)["local_test_accuracy"]);
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

// Its first convolution is frozen, and drawn from the images.
TEST_F(Resume, with_frozen_tensors) {
  expect_bit_exact(Settings{{"model", "airbench_narrow"}} + kUneven + kNesterov, 6, {6}, 1);
}

TEST_F(Resume, on_cuda_deterministic_runs_go_on_to_the_bit) {
  if (const std::string lacks = lacks_gpus(); !lacks.empty()) GTEST_SKIP() << lacks;
  const Settings settings =
      smooth_norm() + kUneven + kNesterov + Settings{{"device", "cuda"}, {"deterministic", "true"}};
  expect_bit_exact(settings, 4, {4, 12});
  expect_bit_exact(settings + average("every:3", 2) + Settings{{"average-delay", "1"}, {"data-mode", "staged"}}, 4,
                   {4, 12});
}

// Summed over a batch, gradients overflow with the first scales.
TEST_F(Resume, on_cuda_in_fp16_the_loss_scale_goes_on_too) {
  if (const std::string lacks = lacks_gpus(2); !lacks.empty()) GTEST_SKIP() << lacks;
  const Settings settings =
      smooth_norm() + kUneven + kAdam +
      Settings{{"device", "cuda"}, {"precision", "fp16"}, {"deterministic", "true"}, {"loss-reduction", "sum"}};
  expect_bit_exact(settings + average("step", 1), 4, {12}, 2);
  expect_bit_exact(settings + average("every:3", 2), 4, {4, 12});
}

// With a cache of its own, which a test may change as others that tune on this machine would.
class ResumePlans : public Resume {
 protected:
  void SetUp() override {
    if (const std::string lacks = lacks_gpus(); !lacks.empty()) GTEST_SKIP() << lacks;
    Resume::SetUp();
    if (const char* before = std::getenv("CONVOY_CACHE")) cache_before_ = before;
    ::setenv("CONVOY_CACHE", cache().c_str(), 1);
  }
  void TearDown() override {
    if (cache_before_) {
      ::setenv("CONVOY_CACHE", cache_before_->c_str(), 1);
    } else {
      ::unsetenv("CONVOY_CACHE");
    }
  }

  fs::path cache() const { return folder_.path() / "cache"; }
  // As if other engines had been the fastest; their names tell which text a plan was made of.
  void choose_otherwise_in_the_cache() const {
    for (const auto& entry : fs::directory_iterator(cache() / "plans")) {
      std::string text = text_of(entry.path());
      text.insert(text.find("engine "), "cached ");
      std::ofstream(entry.path(), std::ios::binary) << text;
    }
  }
  static std::string text_of(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  // By what they are for, of the first worker.
  static std::map<std::string, std::string> engines_of(const fs::path& run) {
    std::map<std::string, std::string> engines;
    for (const auto& [key, text] : read_plans(run, 0)) engines[key] = nlohmann::json::parse(text)["name"];
    return engines;
  }
  static auto all(const char* words) {
    return testing::AllOf(testing::Not(testing::IsEmpty()),
                          testing::Each(testing::Pair(testing::_, testing::StartsWith(words))));
  }

  Settings on_cuda() const {
    return smooth_norm() + kUneven + kNesterov +
           Settings{{"device", "cuda"}, {"deterministic", "true"}, {"checkpoint-every", "4"}};
  }
  const Settings autotune_ = {{"autotune", "true"}};

 private:
  std::optional<std::string> cache_before_;
};

TEST_F(ResumePlans, on_cuda_are_the_runs_own_when_it_goes_on_whatever_the_cache_says_by_then) {
  const fs::path whole = run(on_cuda() + autotune_);
  EXPECT_THAT(engines_of(whole), testing::Contains(testing::Key(HasSubstr("backward weights in fp32"))));
  choose_otherwise_in_the_cache();
  const fs::path again = resumed(whole, 20, 1);
  EXPECT_EQ(text_of(again / kPlansName), text_of(whole / kPlansName));
  EXPECT_EQ(weights_of(again), weights_of(whole));
  // Without the file they are the cache's, so they were not by chance the same.
  fs::remove(whole / kPlansName);
  EXPECT_THAT(engines_of(resumed(whole, 20, 1)), all("cached engine "));
}

TEST_F(ResumePlans, on_cuda_are_kept_without_measuring_too) {
  const fs::path whole = run(on_cuda());
  EXPECT_THAT(engines_of(whole), all("engine "));
  EXPECT_FALSE(fs::exists(cache())) << "what was only guessed is not worth a file";
  // Tuned later by others, and by this very run if it were free to.
  run(on_cuda() + autotune_);
  choose_otherwise_in_the_cache();
  EXPECT_EQ(engines_of(resumed(whole, 20, 1, autotune_)), engines_of(whole));
}

TEST_F(ResumePlans, on_cuda_of_a_damaged_file_or_another_library_are_chosen_anew_with_a_line) {
  const fs::path whole = run(on_cuda());
  const auto again = [&](const char* name) {
    const fs::path copy = folder_.path() / name;
    fs::copy(whole, copy, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    fs::remove_all(CheckpointFolder(copy).checkpoint(22));
    return copy;
  };
  const fs::path damaged = again("damaged");
  flip_bit(damaged / kPlansName);
  EXPECT_THAT(said_when_resumed(damaged, 1),
              testing::ContainsRegex("damaged/plans.json: damaged: [^\n]*; plans are chosen anew\n"));
  EXPECT_EQ(engines_of(damaged), engines_of(whole)) << "not written again";
  EXPECT_EQ(weights_of(damaged), weights_of(whole));

  const fs::path updated = again("updated");
  Choices of_another;
  for (const auto& [key, text] : read_plans(whole, 0)) {
    std::string other = key;
    of_another[other.replace(other.find("; cuDNN "), 8, "; cuDNN 1")] = text;
  }
  {
    const RunFolder folder = RunFolder::reopen(updated);
    write_plans(*make_self_communicator(), of_another, &folder);
  }
  const std::string line =
      "updated/plans.json: lacks " + std::to_string(of_another.size()) + " of the plans for this device";
  EXPECT_THAT(said_when_resumed(updated, 1), HasSubstr(line));
  EXPECT_EQ(weights_of(updated), weights_of(whole));
  EXPECT_EQ(engines_of(updated).size(), 2 * of_another.size()) << "both may come back";
  EXPECT_THAT(said_when_resumed(again("whole"), 1), testing::Not(HasSubstr("plans")));
}

TEST_F(ResumePlans, on_cuda_of_every_worker_and_of_every_seed_of_a_series_are_kept) {
  if (const std::string lacks = lacks_gpus(2); !lacks.empty()) GTEST_SKIP() << lacks;
  const fs::path series = folder_.path() / "series";
  const Settings settings = on_cuda() + autotune_ + Settings{{"average", "every:3"}, {"virtual-ranks", "2"}};
  run_series(series, settings + Settings{{"seed", "3"}, {"repeat", "2"}}, 2);
  choose_otherwise_in_the_cache();
  const fs::path again = resumed(series / "seed-4", 20, 2);
  for (const int worker : {0, 1}) {
    const Choices plans = read_plans(series / "seed-4", worker);
    EXPECT_FALSE(plans.empty());
    EXPECT_EQ(count_new(plans, read_plans(series / "seed-3", worker)), 0U);
    EXPECT_EQ(count_new(plans, read_plans(again, worker)), 0U);
  }
  EXPECT_EQ(weights_of(again), weights_of(series / "seed-4"));
}

// The second seed would do with what is planned for the first, had it not plans of its own.
TEST_F(ResumePlans, on_cuda_of_a_series_that_goes_on_are_each_seeds_own) {
  const fs::path series = folder_.path() / "series";
  run_series(series, on_cuda() + autotune_ + Settings{{"seed", "3"}, {"repeat", "2"}, {"steps", "8"}});
  const Choices plans = read_plans(series / "seed-4", 0);
  ASSERT_FALSE(plans.empty());
  fs::remove(series / "seed-3" / kPlansName);
  choose_otherwise_in_the_cache();
  go_on_with_series(resolve_resuming("", {{"resume", "auto"}, {"out", series.string()}, {"steps", "16"}}));
  EXPECT_EQ(summary_of(series / "seed-4")["resumed_at_step"], 8);
  EXPECT_EQ(summary_of(series / "seed-4")["steps"], 16);
  EXPECT_EQ(count_new(plans, read_plans(series / "seed-3", 0)), plans.size());
  EXPECT_EQ(count_new(plans, read_plans(series / "seed-4", 0)), 0U);
}

TEST_F(Resume, a_run_whose_device_chooses_nothing_has_no_file_of_plans) {
  EXPECT_FALSE(fs::exists(run(smooth() + kUneven + Settings{{"device", "cpu"}}) / kPlansName));
}

TEST_F(Resume, on_other_numbers_of_ranks_the_global_batches_stay) {
  // Gradients are averaged, so the number of ranks makes no difference but rounding.
  const Settings settings = smooth() + kUneven + kNesterov +
                            Settings{{"checkpoint-every", "4"}, {"keep-checkpoints", "9"}, {"log-every", "1"}};
  const fs::path whole = run(settings + average("step", 1), 4);
  const fs::path one = resumed(whole, 8, 1), many = resumed(whole, 8, 1, {{"virtual-ranks", "3"}});
  const fs::path two = resumed(run(settings), 8, 2);
  for (const fs::path& again : {one, many, two}) {
    EXPECT_LT(distance(weights_of(again).trained, weights_of(whole).trained), kRounding) << again;
    const auto rows = rows_of(again, "step"), expected = rows_of(whole, "step");
    ASSERT_EQ(rows.size(), expected.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i]["images_seen"], expected[i]["images_seen"]);
      EXPECT_NEAR(rows[i]["loss"].get<double>(), expected[i]["loss"].get<double>(), kRounding) << "step " << i + 1;
    }
  }
}

TEST_F(Resume, on_another_number_of_ranks_from_the_mean_of_weights_and_moments) {
  const Settings settings =
      smooth_norm() + kUneven + kNesterov + average("every:3", 4) +
      Settings{{"batch-per-rank", "3"}, {"checkpoint-every", "5"}, {"keep-checkpoints", "9"}, {"recalibrate", "0"}};
  const fs::path whole = run(settings);
  const Settings stays = {{"steps", "5"}, {"virtual-ranks", "2"}};  // no step more: what it starts from is evaluated
  const fs::path started = resumed(whole, 5, 1, stays);
  const CheckpointFolder folder(started);
  const LoadedWeights mean = open_weights(folder.checkpoint(5) / "weights.safetensors");
  const LoadedWeights found = open_weights(started / "weights.safetensors");
  for (const TensorView& tensor : mean.file.tensors()) {
    EXPECT_LT(distance(found.file.floats(tensor.name), mean.file.floats(tensor.name)), kRounding) << tensor.name;
  }
  // Moments of ranks that saw other images differ, and the new ones hold their mean.
  const auto moments = [](const fs::path& checkpoint, int rank) {
    return SafetensorsFile::open(checkpoint / ("rank-" + std::to_string(rank) + ".safetensors")).floats("moments");
  };
  const fs::path before = CheckpointFolder(whole).checkpoint(5);
  const fs::path after =
      CheckpointFolder(resumed(whole, 5, 1, stays + Settings{{"checkpoint-every", "1"}})).checkpoint(5);
  std::vector<float> expected = moments(before, 0);
  EXPECT_GT(distance(moments(before, 1), expected), 0.01);
  for (int rank = 1; rank < 4; ++rank) {
    const std::vector<float> more = moments(before, rank);
    for (std::size_t i = 0; i < more.size(); ++i) expected[i] += more[i];
  }
  for (float& value : expected) value /= 4;
  for (const int rank : {0, 1}) EXPECT_LT(distance(moments(after, rank), expected), kRounding);
  // 12 images a step, not 6.
  EXPECT_EQ(rows_of(resumed(whole, 5, 1, {{"virtual-ranks", "2"}, {"log-every", "1"}}), "step")[0]["images_seen"],
            6 * 12);
}

// A job that lost a node goes on with fewer ranks, is interrupted, goes on with as many, and gets its node back.
TEST_F(Resume, a_batch_per_rank_is_the_first_turns_whatever_ranks_the_later_ones_have) {
  const Settings settings = smooth() + kNesterov + average("step", 4) +
                            Settings{{"data", "synthetic:96"},  {"epochs", "3"},        {"batch", "6"},
                                     {"batch-per-rank", "3"},   {"scale-rate", "sqrt"}, {"checkpoint-every", "4"},
                                     {"keep-checkpoints", "9"}, {"log-every", "1"}};
  const fs::path whole = run(settings);
  fs::path turn = whole;
  for (const auto& [step, ranks] : {std::pair(4, "1"), std::pair(8, "1"), std::pair(16, "2")}) {
    turn = resumed(turn, step, 1, {{"virtual-ranks", ranks}, {"batch-per-rank", "3"}});
    EXPECT_LT(distance(weights_of(turn).trained, weights_of(whole).trained), kRounding) << step;
    const auto rows = rows_of(turn, "step"), expected = rows_of(whole, "step");
    ASSERT_EQ(rows.size(), expected.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i]["images_seen"], expected[i]["images_seen"]);
      EXPECT_EQ(rows[i]["learning_rate"], expected[i]["learning_rate"]);
    }
    const char* const line = step == 8 ? "; in batches of 12, as it began" : "resumed after step 24";
    EXPECT_THAT(said_when_resumed(turn, 1), HasSubstr(line));
  }
}

TEST_F(Resume, ranks_with_samples_of_their_own_go_on_with_as_many_only) {
  const Settings settings = smooth() + kNesterov + average("every:3", 2) +
                            Settings{{"data", "synthetic:96"},
                                     {"batch", "8"},
                                     {"epochs", "2"},
                                     {"checkpoint-every", "4"},
                                     {"keep-checkpoints", "9"}};
  for (const auto& [option, text] :
       {std::pair(Settings{{"shard", "fixed"}}, "--shard fixed: each of the run's 2 ranks"),
        std::pair(Settings{{"samples-per-rank", "40"}}, "--samples-per-rank 40: each of")}) {
    const fs::path whole = run(settings + option);
    EXPECT_EQ(weights_of(resumed(whole, 4, 1)), weights_of(whole));
    try {
      resumed(whole, 4, 1, {{"virtual-ranks", "1"}});
      ADD_FAILURE() << text;
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), testing::AllOf(HasSubstr(text), HasSubstr("; --virtual-ranks 2 can")));
    }
  }
}

TEST_F(Resume, only_what_may_change_does) {
  const fs::path first = run(smooth() + kUneven + kNesterov + Settings{{"checkpoint-every", "4"}});
  const auto changed = [&](const Setting& setting) {
    return resolve_resuming("", {{"resume", "auto"}, {"out", first.string()}, setting});
  };
  EXPECT_EQ(changed({"epochs", "3"}).epochs, 3);
  EXPECT_EQ(changed({"threads", "2"}).threads, 2);
  EXPECT_EQ(changed({"batch", "10"}).batch, 10) << "as it was";
  for (const Setting& fixed : Settings{{"batch", "20"}, {"seed", "1"}, {"group", "filters.learning-rate=0.5"}}) {
    try {
      changed(fixed);
      ADD_FAILURE() << fixed.option << " changed";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr("--" + fixed.option));
      EXPECT_THAT(error.what(), testing::AnyOf(HasSubstr("'10' and cannot go on with '20'"),
                                               HasSubstr("'0' and cannot go on with '1'"),
                                               HasSubstr("'0.02' and cannot go on with '0.5'")));
    }
  }
  EXPECT_THROW(resolve_resuming("seed-baseline", {{"resume", "auto"}, {"out", first.string()}}), UsageError);
  EXPECT_THROW(resolve_resuming("", {{"resume", "auto"}}), UsageError) << "--out is missing";
  EXPECT_THROW(resolve_resuming("", {{"resume", (first / "nowhere").string()}}), UsageError);
}

TEST_F(Resume, a_run_without_a_checkpoint_starts_afresh_with_its_own_settings) {
  const fs::path first = run(smooth() + kUneven + kNesterov + Settings{{"steps", "2"}});
  const Settings here = {{"resume", "auto"}, {"out", first.string()}};
  const RunConfig again = resolve_resuming("", here + Settings{{"steps", "3"}, {"test-images", "50"}});
  EXPECT_EQ(again.model, smooth().front().value);
  EXPECT_EQ(again.data, "synthetic:103");
  EXPECT_EQ(again.batch, 10);
  EXPECT_EQ(again.steps, 3);
  EXPECT_EQ(again.test_images, 50);
  EXPECT_EQ(resolve_resuming("", here + Settings{{"batch", "20"}}).batch, 20) << "nothing is gone on with";
  EXPECT_EQ(resolve_resuming("seed-baseline", here).model, "seed") << "a recipe that is named holds";
}

TEST_F(Resume, the_readme_lists_what_may_change) {
  std::ifstream file(fs::path(CONVOY_TEST_SOURCE_DIR) / "README.md");
  const std::string readme{std::istreambuf_iterator<char>(file), {}};
  const std::size_t begin = readme.find("these options may change"), end = readme.find("and the number of", begin);
  ASSERT_NE(end, std::string::npos);
  const std::string list = readme.substr(begin, end - begin);
  for (const RunOption& row : run_options()) {
    const bool is_listed = list.find(fmt::format("`--{}`", row.name)) != std::string::npos;
    EXPECT_EQ(is_listed, row.on_resume == OnResume::may_change) << row.name;
  }
}

TEST_F(Resume, a_run_may_be_made_longer) {
  const Settings settings = smooth() + kUneven + kNesterov + Settings{{"checkpoint-every", "100"}};  // and at its end
  const fs::path longer = resumed(run(settings), 22, 1, {{"epochs", "3"}});
  EXPECT_EQ(weights_of(longer), trained(settings + Settings{{"epochs", "3"}}));  // the rate is constant
}

TEST_F(Resume, accuracies_of_ranks_that_went_on_or_are_no_more_are_not_said) {
  const fs::path first =
      run(smooth() + kUneven + kNesterov + average("never", 4) + Settings{{"checkpoint-every", "4"}, {"steps", "8"}});
  ASSERT_EQ(summary_of(first)["local_test_accuracy"].size(), 4);
  const fs::path alone = resumed(first, 8, 1, {{"virtual-ranks", "1"}, {"steps", "12"}});
  EXPECT_FALSE(summary_of(alone).contains("local_test_accuracy"));
  EXPECT_EQ(summary_of(resumed(first, 8, 1))["local_test_accuracy"], summary_of(first)["local_test_accuracy"]);
}

// Eleven steps are an epoch.
TEST_F(Resume, a_run_that_had_ended_with_an_average_of_its_own_says_so_where_it_becomes_longer) {
  struct Case {
    const char *policy, *steps;
    bool had_its_own;
  };
  for (const Case& c : {Case{"epoch", "8", true}, Case{"epoch", "11", false}, Case{"every:3", "8", true},
                        Case{"step", "8", false}, Case{"never", "8", false}}) {
    const fs::path ended = run(smooth() + kUneven + kNesterov + average(c.policy, 3) +
                               Settings{{"checkpoint-every", "4"}, {"steps", c.steps}});
    const auto line = HasSubstr("; it had ended there with an average of its ranks' weights");
    const std::string said = said_when_resumed(ended, 1, {{"steps", "12"}});
    if (c.had_its_own) {
      EXPECT_THAT(said, line) << c.policy;
    } else {
      EXPECT_THAT(said, testing::Not(line)) << c.policy << " " << c.steps;
    }
    EXPECT_THAT(said_when_resumed(ended, 1), testing::Not(line)) << c.policy;
  }
}

TEST_F(Resume, a_checkpoint_may_start_a_run_elsewhere) {
  const fs::path first = run(smooth() + kUneven + kNesterov + Settings{{"checkpoint-every", "4"}, {"log-every", "1"}});
  const fs::path other = folder_.path() / "other";
  const fs::path checkpoint = CheckpointFolder(first).checkpoint(20);
  go_on(resolve_resuming("", {{"resume", checkpoint.string()}, {"out", other.string()}}));
  EXPECT_EQ(weights_of(other), weights_of(first));
  EXPECT_EQ(lines_of(other / "metrics.jsonl"), lines_of(first / "metrics.jsonl"));
}

// What happens to files on the way, and to which step a run goes back then.
struct Damage {
  const char* what;
  void (*do_to)(const fs::path& checkpoint);
  const char* reason;
};
const Damage kDamages[] = {
    {"a bit of the weights", [](const fs::path& c) { flip_bit(c / "shared.safetensors"); },
     "its checksum does not fit"},
    {"a bit of a rank's state", [](const fs::path& c) { flip_bit(c / "rank-1.safetensors"); },
     "its checksum does not fit"},
    {"a bit of state.json", [](const fs::path& c) { flip_bit(c / "state.json"); }, "damaged"},
    {"truncated", [](const fs::path& c) { fs::resize_file(c / "rank-0.safetensors", 100); }, "100 found"},
    {"torn: a file is missing", [](const fs::path& c) { fs::remove(c / "rank-0.safetensors"); }, "No such file"},
    {"torn: state.json is missing", [](const fs::path& c) { fs::remove(c / "state.json"); }, "No such file"},
    {"foreign",
     [](const fs::path& c) {
       const std::string other = R"({"format": "another", "step": 3})";
       std::ofstream(c / "state.json") << other;
     },
     "not a checkpoint of this program"},
};

TEST_F(Resume, a_damaged_checkpoint_is_refused_in_a_line_and_the_one_before_it_used) {
  const fs::path whole = run(smooth_norm() + kUneven + kNesterov + average("every:3", 1) +
                                 Settings{{"checkpoint-every", "4"}, {"keep-checkpoints", "3"}},
                             2);
  for (const Damage& damage : kDamages) {
    const fs::path run = folder_.path() / "damaged";
    fs::remove_all(run);
    fs::copy(whole, run, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    damage.do_to(CheckpointFolder(run).checkpoint(22));
    EXPECT_THAT(said_when_resumed(run, 2), HasSubstr(damage.reason)) << damage.what;
    EXPECT_EQ(summary_of(run)["resumed_at_step"], 20) << damage.what;
    EXPECT_EQ(weights_of(run), weights_of(whole)) << damage.what;
  }
}

// As through a network's file system that shows one worker an older state.
TEST_F(Resume, all_workers_take_the_checkpoint_that_the_first_one_finds) {
  const fs::path whole = run(smooth() + kUneven + kNesterov + Settings{{"checkpoint-every", "4"}}, 2);
  const fs::path stale = folder_.path() / "stale";
  fs::copy(whole, stale, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  fs::remove_all(CheckpointFolder(stale).checkpoint(22));
  for (const fs::path& other : {stale, folder_.path() / "empty"}) {
    std::vector<fs::path> taken(2);
    run_worker_threads(2, [&](Communicator& communicator) {
      const int worker = communicator.rank();
      const auto found = load_checkpoint(kResumeAuto, (worker == 0 ? whole : other).string(), communicator,
                                         {.workers = 2}, [](std::string_view) {});
      if (found) taken[static_cast<std::size_t>(worker)] = found->path();
    });
    EXPECT_THAT(taken, testing::Each(CheckpointFolder(whole).checkpoint(22)));
  }
}

TEST_F(Resume, weights_that_are_no_numbers_are_never_saved) {
  const fs::path folder = folder_.path() / "diverging";
  const Settings settings = smooth() + kUneven + Settings{{"optimizer", "sgd"}, {"learning-rate", "1e9"}} +
                            Settings{{"checkpoint-every", "1"}, {"log-every", "0"}, {"out", folder.string()}};
  try {
    run(settings);
    FAIL() << "it did not diverge";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("weights are not finite numbers after step 3, those of conv1.weight among"));
  }
  EXPECT_EQ(CheckpointFolder(folder).steps(), (std::vector<std::int64_t>{2, 1}));
}

TEST_F(Resume, another_runs_checkpoint_is_refused) {
  const Settings settings = smooth() + kUneven + kNesterov + Settings{{"checkpoint-every", "4"}};
  const fs::path first = run(settings), second = run(settings + Settings{{"seed", "1"}});
  nlohmann::json summary = summary_of(second);
  summary["started"] = "2001-01-01T00:00:00Z";  // both may have started in one second
  std::ofstream(second / "summary.json") << summary;
  fs::remove_all(second / "checkpoints");
  fs::copy(first / "checkpoints", second / "checkpoints", fs::copy_options::recursive);
  EXPECT_THAT(said_when_resumed(second, 1), HasSubstr("of another run"));
  EXPECT_FALSE(summary_of(second).contains("resumed_at_step"));
}

TEST_F(Resume, the_best_by_validation_accuracy_is_kept_beside_the_last) {
  const fs::path folder = run(smooth() + Settings{{"data", "synthetic:200"},
                                                  {"batch", "20"},
                                                  {"epochs", "6"},
                                                  {"validation", "50"},
                                                  {"learning-rate", "0.5"},
                                                  {"checkpoint-every", "2"},
                                                  {"keep-checkpoints", "1"}});
  double best = 0;
  std::int64_t best_step = 0;
  for (const auto& row : rows_of(folder, "epoch")) {
    if (row["validation_accuracy"] <= best) continue;
    best = row["validation_accuracy"];
    best_step = row["step"];
  }
  const CheckpointFolder checkpoints(folder);
  EXPECT_EQ(fs::canonical(folder / "checkpoints" / "best"), fs::canonical(checkpoints.checkpoint(best_step)));
  EXPECT_EQ(read_manifest(folder / "checkpoints" / "best").validation_accuracy, best);
  const std::int64_t last = summary_of(folder)["steps"];
  ASSERT_LT(best_step, last) << "says nothing of what is kept";
  // Gone on with, no later epoch is taken for a better one.
  const fs::path again = resumed(folder, last, 1, {{"epochs", "7"}});
  const double seventh = rows_of(again, "epoch").back()["validation_accuracy"];
  EXPECT_EQ(read_manifest(again / "checkpoints" / "best").step, seventh > best ? last + 8 : best_step);
  EXPECT_THAT(checkpoints.steps(), testing::ElementsAre(last, best_step));
  EXPECT_FALSE(fs::exists(run(smooth() + kUneven + Settings{{"checkpoint-every", "4"}}) / "checkpoints" / "best"));
}

}  // namespace
}  // namespace convoy
