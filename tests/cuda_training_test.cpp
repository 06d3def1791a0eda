// labels: gpu
// Training on GPUs equals training on the CPU: one device, virtual ranks, and several devices of one process, each a
// rank. Steps are replayed as CUDA graphs from the second of a kind on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "support/backends.hpp"
#include "support/smooth_training.hpp"

namespace convoy {
namespace {

using namespace test;

// Both kinds of step, full and last, are captured and replayed.
const Settings kSteps = kUneven + Settings{{"log-every", "1"}, {"evaluation-batch", "40"}};

class CudaTraining : public SmoothTraining {
 protected:
  void SetUp() override {
    if (const std::string lacks = lacks_gpus(); !lacks.empty()) GTEST_SKIP() << lacks;
    SmoothTraining::SetUp();
  }
  std::filesystem::path run_on(const char* device, const Settings& settings) {
    return run(settings + Settings{{"device", device}});
  }
  RunWeights trained_on(const char* device, const Settings& settings, int workers = 1) {
    return trained(settings + Settings{{"device", device}}, workers);
  }
};

TEST_F(CudaTraining, on_cuda_equals_the_cpu_step_for_step) {
  const Settings settings = smooth_norm() + kSteps + kNesterov;
  const auto expected = run_on("cpu", settings), found = run_on("cuda", settings);
  const RunWeights cpu = weights_of(expected), cuda = weights_of(found);
  EXPECT_LT(distance(cuda.trained, cpu.trained), kRounding);
  EXPECT_LT(distance(cuda.statistics, cpu.statistics), kRounding);
  const auto expected_rows = rows_of(expected, "step"), rows = rows_of(found, "step");
  ASSERT_EQ(rows.size(), 22U);
  ASSERT_EQ(expected_rows.size(), 22U);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_NEAR(rows[i]["loss"].get<double>(), expected_rows[i]["loss"].get<double>(), kRounding) << "step " << i + 1;
  }
  EXPECT_EQ(summary_of(found)["test_accuracy"], summary_of(expected)["test_accuracy"]);
}

TEST_F(CudaTraining, on_cuda_augments_clips_and_smooths_as_the_cpu_does) {
  const Settings settings =
      smooth() + kSteps + kNesterov + Settings{{"flip", "random"},        {"translate", "2"},  {"cutout", "8"},
                                               {"brightness", "0.2"},     {"contrast", "0.3"}, {"clip-norm", "0.5"},
                                               {"label-smoothing", "0.1"}};
  EXPECT_LT(distance(trained_on("cuda", settings).trained, trained_on("cpu", settings).trained), kRounding);
}

TEST_F(CudaTraining, on_cuda_adam_and_muon_equal_the_cpu_within_what_they_make_of_a_rounding) {
  for (const Settings& optimizer : {kAdam, kMuon}) {
    const Settings settings = smooth() + kSteps + optimizer;
    EXPECT_LT(distance(trained_on("cuda", settings).trained, trained_on("cpu", settings).trained), kAmplified)
        << optimizer.front().value;
  }
}

TEST_F(CudaTraining, on_cuda_a_deterministic_run_repeats_to_the_bit) {
  const Settings settings = smooth_norm() + kSteps + kNesterov + Settings{{"deterministic", "true"}};
  EXPECT_EQ(trained_on("cuda", settings), trained_on("cuda", settings));
}

TEST_F(CudaTraining, on_cuda_virtual_ranks_equal_those_of_the_cpu) {
  for (const char* policy : {"step", "every:4"}) {
    const Settings settings =
        smooth_norm() + kSteps + kNesterov + Settings{{"average", policy}, {"virtual-ranks", "3"}};
    EXPECT_LT(distance(trained_on("cuda", settings).trained, trained_on("cpu", settings).trained), kRounding) << policy;
  }
}

TEST_F(CudaTraining, on_four_cuda_devices_equals_four_virtual_ranks_of_the_cpu_under_every_policy) {
  if (const std::string lacks = lacks_gpus(4); !lacks.empty()) GTEST_SKIP() << lacks;
  for (const char* policy : {"step", "every:4", "epoch", "never"}) {
    const Settings settings = smooth_norm() + kSteps + kNesterov + Settings{{"average", policy}};
    const RunWeights expected = trained_on("cpu", settings + Settings{{"virtual-ranks", "4"}});
    const RunWeights found = trained_on("cuda", settings, 4);
    EXPECT_LT(distance(found.trained, expected.trained), kRounding) << policy;
    EXPECT_LT(distance(found.statistics, expected.statistics), kRounding) << policy;
  }
}

TEST_F(CudaTraining, on_four_cuda_devices_collectives_within_the_graphs_of_one_process_give_the_same_bits) {
  if (const std::string lacks = lacks_gpus(4); !lacks.empty()) GTEST_SKIP() << lacks;
  const Settings settings = smooth_norm() + kSteps + kNesterov +
                            Settings{{"average", "step"}, {"gradient-bucket", "0.001"}, {"deterministic", "true"}};
  EXPECT_EQ(trained_on("cuda", settings + Settings{{"graph-collectives", "true"}}, 4), trained_on("cuda", settings, 4));
}

TEST_F(CudaTraining, on_four_cuda_devices_two_levels_outer_steps_and_late_averages_equal_the_cpus) {
  if (const std::string lacks = lacks_gpus(4); !lacks.empty()) GTEST_SKIP() << lacks;
  const Settings base = smooth() + kSteps + kNesterov;
  for (const Settings& more : {Settings{{"average", "every:8"}, {"average-node", "every:2"}, {"node-size", "2"}},
                               Settings{{"average", "every:4"}, {"outer", "slowmo"}, {"moments", "average"}},
                               Settings{{"average", "every:4"}, {"average-delay", "1"}}}) {
    const RunWeights expected = trained_on("cpu", base + more + Settings{{"virtual-ranks", "4"}});
    EXPECT_LT(distance(trained_on("cuda", base + more, 4).trained, expected.trained), kRounding) << more.back().option;
  }
}

// What was planned and captured for the first run serves the second.
TEST_F(CudaTraining, on_cuda_a_series_has_the_bits_of_each_seed_alone) {
  for (const int workers : {1, 2}) {
    if (const std::string lacks = lacks_gpus(workers); !lacks.empty()) GTEST_SKIP() << lacks;
    const Settings settings =
        smooth_norm() + kSteps + kNesterov + Settings{{"deterministic", "true"}, {"device", "cuda"}};
    const std::filesystem::path series = folder_.path() / ("series-" + std::to_string(workers));
    run_series(series, settings + Settings{{"seed", "3"}, {"repeat", "2"}}, workers);
    EXPECT_EQ(weights_of(series / "seed-4"), trained(settings + Settings{{"seed", "4"}}, workers)) << workers;
  }
}

}  // namespace
}  // namespace convoy
