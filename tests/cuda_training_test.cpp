// labels: gpu
// Training on GPUs equals training on the CPU: one device, virtual ranks, and several devices of one process, each a
// rank. Steps are replayed as CUDA graphs from the second of a kind on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "support/run_files.hpp"
#include "support/smooth_networks.hpp"
#include "support/temporary_folder.hpp"
#include "support/thread_ranks.hpp"
#include "train/device_module.hpp"
#include "train/train.hpp"

namespace convoy {
namespace {

using test::distance;
using test::RunWeights;
using Settings = std::vector<Setting>;

// fp32 sums in another order are off by some 1e-7 of their terms; smooth networks at these rates multiply that by less
// than ten in 20 steps.
constexpr double kRounding = 1e-5;
// What Adam and Muon make of it: see ranks_test.cpp.
constexpr double kAmplified = 1e-4;

const Settings kNesterov = {{"optimizer", "sgd"},
                            {"momentum", "0.9"},
                            {"nesterov", "true"},
                            {"learning-rate", "0.02"},
                            {"weight-decay", "5e-4"}};
const Settings kAdam = {{"optimizer", "adam"}, {"learning-rate", "2e-3"}};
const Settings kMuon = {{"optimizer", "sgd"},
                        {"momentum", "0.9"},
                        {"learning-rate", "0.02"},
                        {"group", "filters.optimizer=muon"},
                        {"group", "filters.learning-rate=0.02"}};

// Two epochs of eleven steps, the last of 3 images: both kinds of step are captured and replayed.
const Settings kUneven = {{"data", "synthetic:103"}, {"batch", "10"}, {"epochs", "2"}, {"log-every", "1"}};

Settings operator+(Settings first, const Settings& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

class CudaTraining : public testing::Test {
 protected:
  void SetUp() override {
    const auto& [module, reason] = open_device_module("cuda");
    const std::string missing = module == nullptr ? reason : module->missing();
    if (!missing.empty()) GTEST_SKIP() << missing;
    std::ofstream(folder_.path() / "smooth.json") << test::kSmoothNetwork;
    std::ofstream(folder_.path() / "smooth_norm.json") << test::kSmoothNormNetwork;
  }
  bool has_devices(int count) const { return open_device_module("cuda").module->count() >= count; }

  Settings smooth() const { return {{"model", (folder_.path() / "smooth.json").string()}}; }
  Settings smooth_norm() const { return {{"model", (folder_.path() / "smooth_norm.json").string()}}; }

  std::filesystem::path run(const std::string& device, const Settings& settings, int workers = 1) {
    const std::filesystem::path folder = folder_.path() / ("run-" + std::to_string(++runs_));
    const RunConfig config = resolve_config(
        "", settings +
                Settings{{"device", device}, {"out", folder.string()}, {"threads", "1"}, {"evaluation-batch", "40"}});
    test::run_ranks(workers, [&](Communicator& communicator) {
      Progress progress(nowhere_.get(), Progress::Style::lines, [] { return 0.0; });
      RunContext context(clock_, {}, progress, communicator.rank() == 0);
      train(config, communicator, context);
    });
    return folder;
  }
  RunWeights trained(const std::string& device, const Settings& settings, int workers = 1) {
    return test::weights_of(run(device, settings, workers));
  }

  TemporaryFolder folder_;
  ProcessClock clock_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere_{std::fopen("/dev/null", "w"), &std::fclose};
  int runs_ = 0;
};

TEST_F(CudaTraining, on_cuda_equals_the_cpu_step_for_step) {
  const Settings settings = smooth_norm() + kUneven + kNesterov;
  const auto expected = run("cpu", settings), found = run("cuda", settings);
  const RunWeights cpu = test::weights_of(expected), cuda = test::weights_of(found);
  EXPECT_LT(distance(cuda.trained, cpu.trained), kRounding);
  EXPECT_LT(distance(cuda.statistics, cpu.statistics), kRounding);
  const auto expected_rows = test::rows_of(expected, "step"), rows = test::rows_of(found, "step");
  ASSERT_EQ(rows.size(), 22U);
  ASSERT_EQ(expected_rows.size(), 22U);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_NEAR(rows[i]["loss"].get<double>(), expected_rows[i]["loss"].get<double>(), kRounding) << "step " << i + 1;
  }
  EXPECT_EQ(test::summary_of(found)["test_accuracy"], test::summary_of(expected)["test_accuracy"]);
}

TEST_F(CudaTraining, on_cuda_augments_clips_and_smooths_as_the_cpu_does) {
  const Settings settings =
      smooth() + kUneven + kNesterov + Settings{{"flip", "random"},        {"translate", "2"},  {"cutout", "8"},
                                                {"brightness", "0.2"},     {"contrast", "0.3"}, {"clip-norm", "0.5"},
                                                {"label-smoothing", "0.1"}};
  EXPECT_LT(distance(trained("cuda", settings).trained, trained("cpu", settings).trained), kRounding);
}

TEST_F(CudaTraining, on_cuda_adam_and_muon_equal_the_cpu_within_what_they_make_of_a_rounding) {
  for (const Settings& optimizer : {kAdam, kMuon}) {
    const Settings settings = smooth() + kUneven + optimizer;
    EXPECT_LT(distance(trained("cuda", settings).trained, trained("cpu", settings).trained), kAmplified)
        << optimizer.front().value;
  }
}

TEST_F(CudaTraining, on_cuda_a_deterministic_run_repeats_to_the_bit) {
  const Settings settings = smooth_norm() + kUneven + kNesterov + Settings{{"deterministic", "true"}};
  EXPECT_EQ(trained("cuda", settings), trained("cuda", settings));
}

TEST_F(CudaTraining, on_cuda_virtual_ranks_equal_those_of_the_cpu) {
  for (const char* policy : {"step", "every:4"}) {
    const Settings settings =
        smooth_norm() + kUneven + kNesterov + Settings{{"average", policy}, {"virtual-ranks", "3"}};
    EXPECT_LT(distance(trained("cuda", settings).trained, trained("cpu", settings).trained), kRounding) << policy;
  }
}

TEST_F(CudaTraining, on_four_cuda_devices_equals_four_virtual_ranks_of_the_cpu_under_every_policy) {
  if (!has_devices(4)) GTEST_SKIP() << "four GPUs needed";
  for (const char* policy : {"step", "every:4", "epoch", "never"}) {
    const Settings settings = smooth_norm() + kUneven + kNesterov + Settings{{"average", policy}};
    const RunWeights expected = trained("cpu", settings + Settings{{"virtual-ranks", "4"}});
    const RunWeights found = trained("cuda", settings, 4);
    EXPECT_LT(distance(found.trained, expected.trained), kRounding) << policy;
    EXPECT_LT(distance(found.statistics, expected.statistics), kRounding) << policy;
  }
}

TEST_F(CudaTraining, on_four_cuda_devices_two_levels_outer_steps_and_late_averages_equal_the_cpus) {
  if (!has_devices(4)) GTEST_SKIP() << "four GPUs needed";
  const Settings base = smooth() + kUneven + kNesterov;
  for (const Settings& more : {Settings{{"average", "every:8"}, {"average-node", "every:2"}, {"node-size", "2"}},
                               Settings{{"average", "every:4"}, {"outer", "slowmo"}, {"moments", "average"}},
                               Settings{{"average", "every:4"}, {"average-delay", "1"}}}) {
    const RunWeights expected = trained("cpu", base + more + Settings{{"virtual-ranks", "4"}});
    EXPECT_LT(distance(trained("cuda", base + more, 4).trained, expected.trained), kRounding) << more.back().option;
  }
}

}  // namespace
}  // namespace convoy
