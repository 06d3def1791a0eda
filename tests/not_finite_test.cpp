// needs: oneDNN
// Runs whose numbers stop being finite: in which step and operation, and on which rank, that began; and what becomes of
// the run under --on-nan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "convoy/error.hpp"
#include "data/shards.hpp"
#include "support/backends.hpp"
#include "support/smooth_training.hpp"
#include "support/sparks.hpp"
#include "train/checkpoint/checkpoint_folder.hpp"
#include "train/checkpoint/resume.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using namespace test;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const Settings kRollback = {{"on-nan", "rollback"}};
const Settings kTwoRanks = {{"virtual-ranks", "2"}};

Settings every(int checkpoint, int log) {
  return {{"checkpoint-every", std::to_string(checkpoint)}, {"log-every", std::to_string(log)}};
}

class NotFiniteRuns : public SmoothTraining {
 protected:
  Settings sparks_at(const std::vector<std::pair<int, int>>& places, const SparkWeights& weights = {}) {
    std::vector<std::int32_t> samples;
    for (const auto& [step, place] : places) samples.push_back(sample_of_step(step, place));
    return write_sparks(folder_.path(), samples, weights);
  }
  // The message with which the run ends; empty where it does not fail.
  std::string failure(const Settings& settings, int workers = 1) {
    try {
      last_ = run(settings, workers);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  fs::path last_;
};

class NotFiniteOn : public NotFiniteRuns, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    const bool needs_gpu = std::string(GetParam()) == "cuda";
    if (const std::string lacks = needs_gpu ? lacks_gpus(2) : ""; !lacks.empty()) GTEST_SKIP() << lacks;
    NotFiniteRuns::SetUp();
  }
  Settings device() const { return {{"device", GetParam()}}; }
};
INSTANTIATE_TEST_SUITE_P(Devices, NotFiniteOn, testing::Values("cpu", "cuda"),
                         [](const auto& device) { return std::string(device.param); });

TEST_P(NotFiniteOn, the_step_and_the_operation_in_which_it_began_are_named) {
  struct Case {
    SparkWeights weights;
    const char* learning_rate;
    const char* place;
  };
  const Case cases[] = {
      {{}, "0.05", "at the output of conv1"},
      {{1e20F, 1e20F}, "0.05", "at the output of conv2"},
      {{1e20F, 1e10F, 1e10F}, "0.05", "at the output of head"},
      {{3e36F, 1e-37F, 1}, "0.05", "in the gradient of conv2.weight"},           // 256 pixels of 2.7e37
      {{1.2e-38F, 1e38F, 10}, "0.05", "in the gradient of the input of conv2"},  // 1e39; of others 1e38
      {{1e30F, 1e-30F, 1}, "1e7", "in the update of conv2.weight"},              // a gradient of 1e32
  };
  for (const Case& c : cases) {
    const Settings settings = sparks_at({{7, 1}}, c.weights) + Settings{{"learning-rate", c.learning_rate}};
    EXPECT_THAT(failure(settings + every(5, 4) + device()),
                AllOf(HasSubstr("finite"), HasSubstr(std::string(": it began in step 7, first ") + c.place + "; "),
                      HasSubstr("a lower --learning-rate"), Not(HasSubstr("\n"))));
  }
}

TEST_P(NotFiniteOn, the_step_is_looked_at_with_the_weights_that_it_had) {
  // A spark makes weights of 1e36, the next one meets them; whether losses tell that all was well before, or none does.
  const Settings settings = sparks_at({{7, 0}, {9, 0}}, {1e30F, 1e-30F, 1}) + Settings{{"learning-rate", "1e3"}};
  for (const int log : {0, 4}) {
    EXPECT_THAT(failure(settings + every(5, log) + device()),
                HasSubstr("it began in step 9, first at the output of conv2; "));
  }
}

// Activations and gradients of filters come in 16 bits there.
TEST_F(NotFiniteRuns, on_cuda_in_bf16_they_are_named_too) {
  if (const std::string lacks = lacks_gpus(); !lacks.empty()) GTEST_SKIP() << lacks;
  const Settings more = every(5, 4) + Settings{{"device", "cuda"}, {"precision", "bf16"}};
  EXPECT_THAT(failure(sparks_at({{7, 1}}) + more), HasSubstr("it began in step 7, first at the output of conv1; "));
  EXPECT_THAT(failure(sparks_at({{7, 1}}, {3e36F, 1e-37F, 1}) + more),
              HasSubstr("it began in step 7, first in the gradient of conv2.weight; "));
}

TEST_P(NotFiniteOn, the_rank_on_which_it_began_is_named_whatever_the_ranks_average) {
  for (const char* policy : {"step", "every:3", "end"}) {
    for (const auto& [virtual_ranks, workers] : {std::pair(2, 1), std::pair(1, 2), std::pair(2, 2)}) {
      SCOPED_TRACE(std::string(policy) + ", " + std::to_string(virtual_ranks) + " ranks of " + std::to_string(workers));
      const Settings ranks = {{"average", policy}, {"virtual-ranks", std::to_string(virtual_ranks)}};
      const int last = virtual_ranks * workers - 1;
      for (const auto& [place, rank] : {std::pair(0, 0), std::pair(kSparkBatch - 1, last)}) {
        EXPECT_THAT(
            failure(sparks_at({{7, place}}) + every(5, 0) + ranks + device(), workers),
            HasSubstr("it began in step 7, first at the output of conv1 on rank " + std::to_string(rank) + "; "));
      }
    }
  }
}

TEST_P(NotFiniteOn, what_only_the_sum_over_the_ranks_makes_infinite_is_told_apart) {
  // Each rank's gradient is 0.5 * 2209 pixels * 2e35 = 2.2e38.
  const Settings settings = sparks_at({{7, 0}, {7, 3}}, {2e35F, 1e-36F, 1}) + every(5, 4) + device();
  const std::string expected = "it began in step 7, first in the ranks' mean of the gradient of conv2.weight";
  EXPECT_THAT(failure(settings + kTwoRanks), HasSubstr(expected));
  EXPECT_THAT(failure(settings, 2), HasSubstr(expected));
}

TEST_P(NotFiniteOn, rollback_skips_the_steps_since_the_checkpoint_and_ends_with_finite_weights) {
  const fs::path whole = run(sparks_at({{7, 1}}) + every(5, 4) + kRollback + device());
  for (const float weight : weights_of(whole).trained) ASSERT_TRUE(std::isfinite(weight));
  const nlohmann::json summary = summary_of(whole);
  EXPECT_EQ(summary["state"], "done");
  EXPECT_EQ(summary["rollbacks"], 1);
  EXPECT_EQ(summary["skipped_steps"], 3);  // 6, 7 and 8, after which it was noticed
  EXPECT_EQ(summary["steps"], kSparkSteps);
  EXPECT_EQ(summary["images_seen"], (kSparkSteps - 3) * kSparkBatch);
  const std::vector<nlohmann::json> rollbacks = rows_of(whole, "rollback");
  ASSERT_EQ(rollbacks.size(), 1U);
  EXPECT_EQ(rollbacks[0]["step"], 8);
  EXPECT_EQ(rollbacks[0]["to_step"], 5);
  EXPECT_THAT(rollbacks[0]["reason"].get<std::string>(), EndsWith("it began in step 7, first at the output of conv1"));
}

// To the bit what a run has that never saw them: with a spark in the last step, nothing is trained after the
// checkpoint.
TEST_F(NotFiniteRuns, what_comes_back_is_the_state_of_the_checkpoint) {
  const Settings settings = kNesterov + sparks_at({{12, 0}}) + every(4, 0);
  for (const Settings& ranks : {Settings{}, kTwoRanks + Settings{{"average", "step"}}}) {
    const fs::path whole = run(settings + ranks + kRollback);
    const fs::path expected = run(settings + ranks + Settings{{"steps", "8"}});
    EXPECT_EQ(weights_of(whole), weights_of(expected));
    EXPECT_EQ(summary_of(whole)["test_loss"], summary_of(expected)["test_loss"]);
    EXPECT_EQ(summary_of(whole)["skipped_steps"], 4);
  }
}

TEST_F(NotFiniteRuns, a_rollback_changes_neither_schedule_nor_batches_of_later_steps) {
  // At rate 0 the loss says which images a step took.
  for (const auto& [rate, field] : {std::pair("0.05", "learning_rate"), std::pair("0", "loss")}) {
    const Settings rows = every(5, 1) + Settings{{"schedule", "linear"}};
    const fs::path disturbed = run(sparks_at({{7, 1}}) + rows + kRollback + Settings{{"learning-rate", rate}});
    const fs::path undisturbed = run(sparks_at({}) + rows + Settings{{"learning-rate", rate}});
    const auto found = rows_of(disturbed, "step"), expected = rows_of(undisturbed, "step");
    ASSERT_EQ(expected.size(), 12U);
    ASSERT_EQ(found.size(), 11U);  // none of step 7
    for (std::size_t i = 6; i < found.size(); ++i) {
      EXPECT_EQ(found[i]["step"], expected[i + 1]["step"]);
      EXPECT_EQ(found[i][field], expected[i + 1][field]);
    }
  }
}

TEST_F(NotFiniteRuns, a_run_that_was_rolled_back_resumes_to_the_bit) {
  const Settings delayed = {{"average", "every:3"}, {"average-delay", "1"}, {"virtual-ranks", "2"}};
  for (const Settings& ranks : {Settings{}, kTwoRanks, delayed}) {
    const Settings settings = kNesterov + sparks_at({{5, 0}, {9, 3}}) + every(2, 3) + kRollback + ranks;
    const fs::path whole = run(settings + Settings{{"keep-checkpoints", "100"}});
    EXPECT_EQ(summary_of(whole)["rollbacks"], 2);
    for (const std::int64_t step : CheckpointFolder(whole).steps()) {
      const fs::path copy = folder_.path() / "copy";
      fs::remove_all(copy);
      fs::copy(whole, copy, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
      fs::remove(copy / "weights.safetensors");
      for (const std::int64_t later : CheckpointFolder(whole).steps()) {
        if (later > step) fs::remove_all(CheckpointFolder(copy).checkpoint(later));
      }
      go_on(resolve_resuming("", {{"resume", "auto"}, {"out", copy.string()}}));
      EXPECT_EQ(weights_of(copy), weights_of(whole)) << "resumed after step " << step;
      for (const char* field : {"rollbacks", "skipped_steps", "steps", "images_seen", "train_loss", "test_loss"}) {
        EXPECT_EQ(summary_of(copy)[field], summary_of(whole)[field]) << field << " after step " << step;
      }
      ASSERT_EQ(rows_of(copy, "rollback").size(), 2U) << step;
      EXPECT_EQ(rows_of(copy, "rollback")[1]["reason"], rows_of(whole, "rollback")[1]["reason"]) << step;
    }
  }
}

TEST_F(NotFiniteRuns, three_rollbacks_to_one_checkpoint_are_the_most) {
  const Settings rows = every(4, 1) + kRollback;
  const fs::path saved = run(sparks_at({{5, 0}, {6, 0}, {7, 0}}) + rows);
  EXPECT_EQ(summary_of(saved)["rollbacks"], 3);
  EXPECT_EQ(summary_of(saved)["skipped_steps"], 3);
  EXPECT_THAT(failure(sparks_at({{5, 0}, {6, 0}, {7, 0}, {8, 0}}) + rows),
              AllOf(StartsWith("the loss is not a finite number"), HasSubstr("it began in step 8"),
                    HasSubstr("; 3 rollbacks to the checkpoint of step 4 have not helped: ")));
}

TEST_F(NotFiniteRuns, a_checkpoint_in_between_begins_the_count_of_rollbacks_anew) {
  const fs::path saved = run(sparks_at({{3, 0}, {4, 0}, {5, 0}, {9, 0}, {10, 0}}) + every(2, 1) + kRollback);
  EXPECT_EQ(summary_of(saved)["rollbacks"], 5);
  EXPECT_EQ(summary_of(saved)["skipped_steps"], 5);
}

// Three epochs of six steps, each of half the images; with a spark in one of them alone, in its steps 2 or 3.
Settings with_a_spark_in_epoch(int epoch, const fs::path& folder) {
  const std::vector<std::int32_t> labels(kSparkBatch * kSparkSteps);
  const std::int64_t half = kSparkBatch * kSparkSteps / 2;
  const Shards shards(Sharding::parse("epoch"), {0, kSparkBatch, 1, half}, labels);
  const auto is_elsewhere = [&](std::int32_t sample) {
    int epochs = 0;
    for (int e = 0; e < 3; ++e) epochs += static_cast<int>(std::ranges::count(shards.order(e), sample));
    return epochs > 1;
  };
  const Samples order = shards.order(epoch - 1);
  const auto end = order.begin() + 3 * kSparkBatch;
  const auto spark = std::find_if_not(order.begin() + kSparkBatch, end, is_elsewhere);
  EXPECT_NE(spark, end);
  return write_sparks(folder, {*spark}) + Settings{{"epochs", "3"}, {"samples-per-rank", std::to_string(half)}};
}

std::vector<int> epochs_with_a_row(const fs::path& folder) {
  std::vector<int> epochs;
  for (const nlohmann::json& row : rows_of(folder, "epoch")) epochs.push_back(row["epoch"]);
  return epochs;
}

TEST_F(NotFiniteRuns, an_epoch_of_which_nothing_was_trained_has_no_row) {
  const fs::path saved = run(with_a_spark_in_epoch(2, folder_.path()) + every(6, 0) + kRollback);
  EXPECT_EQ(summary_of(saved)["skipped_steps"], 6);
  EXPECT_EQ(summary_of(saved)["epochs"], 3);
  EXPECT_EQ(epochs_with_a_row(saved), (std::vector{1, 3}));
}

TEST_F(NotFiniteRuns, a_rollback_into_an_earlier_epoch_repeats_none) {
  const fs::path saved = run(with_a_spark_in_epoch(2, folder_.path()) + every(5, 0) + kRollback);
  EXPECT_EQ(summary_of(saved)["skipped_steps"], 5);  // 6 to 10, after which the checkpoint found it
  EXPECT_EQ(summary_of(saved)["steps"], 18);
  EXPECT_EQ(epochs_with_a_row(saved), (std::vector{1, 2, 3}));
  EXPECT_EQ(summary_of(saved)["images_seen"], 13 * kSparkBatch);
}

TEST_F(NotFiniteRuns, a_rollback_over_the_end_of_an_epoch_to_that_of_the_run_ends_it) {
  const fs::path saved =
      run(with_a_spark_in_epoch(2, folder_.path()) + every(5, 0) + kRollback + Settings{{"steps", "9"}});
  EXPECT_EQ(summary_of(saved)["reason"], "--steps 9");
  EXPECT_EQ(summary_of(saved)["skipped_steps"], 4);  // 6 to 9
  EXPECT_EQ(summary_of(saved)["epochs"], 1);
  EXPECT_EQ(epochs_with_a_row(saved), (std::vector{1}));
}

TEST_F(NotFiniteRuns, without_a_checkpoint_it_is_told_where_it_is_now) {
  EXPECT_THAT(failure(sparks_at({{7, 1}}) + every(0, 4)),
              AllOf(StartsWith("the loss is not a finite number"),
                    HasSubstr(": now first in the weights conv1.weight; where it began takes a checkpoint")));
  EXPECT_THAT(failure(sparks_at({{3, 1}}) + every(5, 4) + kRollback),
              HasSubstr("; there is no checkpoint before it to go back to; "));
}

TEST_F(NotFiniteRuns, an_evaluation_that_is_not_finite_ends_the_run_without_a_step_to_blame) {
  const Settings settings = write_sparks(folder_.path(), {}, {}, true) + every(5, 4);
  EXPECT_THAT(failure(settings), AllOf(StartsWith("the loss of the evaluation is not a finite number after step 12: "
                                                  "taken again, the steps since the last checkpoint gave finite"),
                                       HasSubstr("the checkpoint before stays")));
  EXPECT_THAT(failure(settings + kRollback), HasSubstr("; 3 rollbacks to the checkpoint of step 10 have not helped"));
}

TEST_F(NotFiniteRuns, staged_batches_are_taken_again_too) {
  EXPECT_THAT(failure(sparks_at({{7, 1}}) + every(5, 4) + Settings{{"data-mode", "staged"}}),
              HasSubstr("it began in step 7, first at the output of conv1; "));
}

TEST_F(NotFiniteRuns, rollback_without_checkpoints_is_wrong_usage) {
  try {
    resolve_config("", kRollback);
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), AllOf(StartsWith("--on-nan rollback"), HasSubstr("--checkpoint-every")));
  }
  EXPECT_EQ(resolve_config("", kRollback + every(5, 1)).on_nan, OnNan::rollback);
}

}  // namespace
}  // namespace convoy
