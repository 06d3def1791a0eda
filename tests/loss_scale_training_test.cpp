// labels: gpu
// Trainings in fp16: what becomes of a run, of its reports and of its ranks where a step overflows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.hpp"
#include "support/backends.hpp"
#include "support/smooth_training.hpp"
#include "support/sparks.hpp"
#include "train/checkpoint/checkpoint_files.hpp"
#include "train/checkpoint/checkpoint_folder.hpp"
#include "train/checkpoint/resume.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using namespace test;
using testing::ElementsAre;

const Settings kFp16 = {{"device", "cuda"}, {"precision", "fp16"}, {"log-every", "1"}};

// A loss changes by at most twice what its logits do. These are about 1, after eight roundings by up to 2^-11 each.
constexpr double kFp16Rounding = 3e-3;

class Fp16Training : public SmoothTraining {
 protected:
  void SetUp() override {
    if (const std::string lacks = lacks_gpus(2); !lacks.empty()) GTEST_SKIP() << lacks;
    SmoothTraining::SetUp();
  }

  // The network has gradients in the seventh step alone, from the last image of its batch, which lies with the last
  // rank: a weight of conv2 gets 256 pixels' worth of 9, times half of the scale; more than fp16 holds.
  Settings one_step_that_overflows() {
    return write_sparks(folder_.path(), {sample_of_step(7, kSparkBatch - 1)}, {1, 0.1F, 1}) +
           Settings{{"checkpoint-every", "12"}} + kFp16;
  }
  // Scale, finite steps since it changed, and skipped steps, as the checkpoint of the last step has them.
  static std::vector<float> scale_of(const fs::path& run, int rank) {
    const fs::path checkpoint = CheckpointFolder(run).checkpoint(kSparkSteps);
    return SafetensorsFile::open(checkpoint / rank_file_name(rank)).floats("step.loss_scale");
  }
};

TEST_F(Fp16Training, on_cuda_a_step_that_overflows_is_skipped_and_counted_and_no_fault) {
  const Settings settings = one_step_that_overflows();
  const fs::path skipping = run(settings), wide = run(settings + Settings{{"precision", "bf16"}});
  const auto rows = rows_of(skipping, "step");
  ASSERT_EQ(rows.size(), 12U);
  for (int step = 1; step <= 12; ++step) {
    const auto& row = rows[static_cast<std::size_t>(step - 1)];
    EXPECT_EQ(row["loss_scale"], step < 7 ? 65536 : 32768) << step;
    EXPECT_EQ(row["skipped_updates"], step < 7 ? 0 : 1) << step;
  }
  EXPECT_EQ(rows_of(skipping, "epoch").front()["loss_scale"], 32768);
  EXPECT_EQ(summary_of(skipping)["loss_scale"], 32768);
  EXPECT_EQ(summary_of(skipping)["skipped_updates"], 1);
  EXPECT_EQ(summary_of(skipping)["state"], "done");
  EXPECT_NE(weights_of(wide).trained, weights_of(skipping).trained) << "the step has gradients";
  for (const char* field : {"loss_scale", "skipped_updates"}) {
    EXPECT_FALSE(rows_of(wide, "step").front().contains(field));
    EXPECT_FALSE(summary_of(wide).contains(field));
  }
}

TEST_F(Fp16Training, on_cuda_ranks_decide_as_one_where_they_average_gradients_else_each_by_itself) {
  const Settings settings = one_step_that_overflows() + Settings{{"gradient-bucket", "0.0001"}};
  for (const auto& [virtual_ranks, workers] : {std::pair(2, 1), std::pair(1, 2)}) {
    for (const char* policy : {"step", "every:3"}) {
      SCOPED_TRACE(std::string(policy) + ", " + std::to_string(workers) + " workers");
      const Settings ranks = {{"average", policy}, {"virtual-ranks", std::to_string(virtual_ranks)}};
      const fs::path two = run(settings + ranks, workers);
      EXPECT_THAT(scale_of(two, 1), ElementsAre(32768, 5, 1));
      if (policy == std::string("step")) {
        EXPECT_THAT(scale_of(two, 0), ElementsAre(32768, 5, 1));
      } else {
        EXPECT_THAT(scale_of(two, 0), ElementsAre(65536, 12, 0));
      }
      EXPECT_EQ(summary_of(two)["loss_scale"], 32768) << "the least";
      EXPECT_EQ(summary_of(two)["skipped_updates"], 1) << "the most";
    }
  }
}

TEST_F(Fp16Training, on_cuda_another_number_of_ranks_goes_on_with_the_power_of_two_below_the_mean_of_the_scales) {
  const Settings ranks = {{"average", "every:3"}, {"virtual-ranks", "2"}, {"checkpoint-every", "4"}};
  const fs::path two = run(one_step_that_overflows() + ranks), one = folder_.path() / "one";
  const fs::path checkpoint = CheckpointFolder(two).checkpoint(8);
  go_on(resolve_resuming("", {{"resume", checkpoint.string()}, {"out", one.string()}, {"virtual-ranks", "1"}}));
  EXPECT_THAT(scale_of(one, 0), ElementsAre(32768, (8 + 1) / 2.0F + 4, 0.5F));
}

TEST_F(Fp16Training, on_cuda_every_run_of_a_series_begins_with_the_first_scale) {
  const fs::path series = folder_.path() / "series";
  run_series(series, one_step_that_overflows() + Settings{{"repeat", "2"}});
  for (const char* seed : {"seed-0", "seed-1"}) EXPECT_EQ(summary_of(series / seed)["skipped_updates"], 1) << seed;
}

TEST_F(Fp16Training, on_cuda_the_loss_follows_that_of_fp32) {
  const Settings settings = smooth_norm() + kUneven + kNesterov + kFp16;
  const auto narrow = rows_of(run(settings), "step");
  const auto wide = rows_of(run(settings + Settings{{"precision", "fp32"}}), "step");
  ASSERT_EQ(narrow.size(), 22U);
  ASSERT_EQ(wide.size(), 22U);
  EXPECT_EQ(narrow.back()["skipped_updates"], 0);
  for (std::size_t i = 0; i < narrow.size(); ++i) {
    EXPECT_NEAR(narrow[i]["loss"].get<double>(), wide[i]["loss"].get<double>(), kFp16Rounding) << "step " << i + 1;
  }
}

}  // namespace
}  // namespace convoy
