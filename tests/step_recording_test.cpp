// needs: oneDNN
// What steps on a GPU keep beside what they compute: weights in the compute type, and what profilers are told of a
// recorded step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>

#include "data/sampler.hpp"
#include "data/synthetic.hpp"
#include "nn/initialise.hpp"
#include "support/backends.hpp"
#include "support/rounding.hpp"
#include "support/training_run.hpp"
#include "train/device_set.hpp"
#include "train/plan.hpp"

namespace convoy::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

const BackendCase kBackends[] = {
    {"cuda", Precision::bf16, 0, "copies are rounded, nothing else"},
    {"cuda", Precision::fp16, 0, "the same"},
};

// A run without its trainer.
class RecordedSteps : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override {
    const std::string reason = reason_to_skip(GetParam());
    if (!reason.empty()) GTEST_SKIP() << reason;
    backend = make_backend_for_test(GetParam().backend, GetParam().precision);
    weights_ = std::make_unique<Weights>(*backend, model_.layout, "weights", moments_needed(model_.layout, config_));
    weights_->set(initial_weights(model_.layout, 0));
    images_ = std::make_unique<DeviceSet>(*backend, data_.train);
    step_ = std::make_unique<TrainStep>(*backend, model_, config_, *weights_, *images_, pixel_scale({0.5}, {0.25}, 3));
    step_->prepare({variant_});
    images_->set_order(epoch_order(0, 0, images_->count()));
    std::vector<Share> batches;
    for (int i = 0; i < plan_.steps_per_epoch(); ++i) batches.push_back(plan_.share(i));
    step_->set_rows(plan_.rows(0));
    images_->begin(batches);
  }

  // Each is the weight's, rounded.
  void expect_narrow_weights_are_fresh() {
    std::vector<float> expected = weights_->values(), narrow(expected.size());
    backend->unpack_activation(1, {1, 1, static_cast<int>(narrow.size())}, weights_->narrow(), narrow.data());
    // Statistics change in the forward pass, and no operation reads them there.
    for (std::size_t i = 0; i < model_.layout.trainable_elements; ++i) {
      ASSERT_EQ(narrow[i], rounded(expected[i], backend->compute_type())) << i;
    }
  }

  std::unique_ptr<Backend> backend;
  RunConfig config_ =
      resolve_config("", {{"batch", "8"}, {"epochs", "1"}, {"momentum", "0.9"}, {"group", "filters.optimizer=muon"}});
  Dataset data_ = make_synthetic(80, 0);
  Model model_ = make_model(parse_network(kTinyNetwork, "test"), data_.classes(), 3);
  StepPlan plan_{config_, model_.layout, 80, 0, 1};
  StepVariant variant_ = plan_.variant(0);
  std::unique_ptr<Weights> weights_;
  std::unique_ptr<DeviceSet> images_;
  std::unique_ptr<TrainStep> step_;
};
INSTANTIATE_TEST_SUITE_P(Backends, RecordedSteps, testing::ValuesIn(kBackends),
                         [](const auto& one) { return name(one.param); });

TEST_P(RecordedSteps, keep_narrow_weights_fresh_through_updates_and_averages) {
  for (int i = 0; i < 4; ++i) {  // the calls, the capture, and two replays
    SCOPED_TRACE(i);
    step_->run(variant_);
    expect_narrow_weights_are_fresh();
  }
  weights_->become_mean(weights_->communicated(), 1.0F / 3);
  expect_narrow_weights_are_fresh();
  weights_->touch();  // as others do who write weights: the next step finds the narrow ones stale
  weights_->become_mean(weights_->communicated(), 1.0F / 3);
  step_->run_gradients(variant_);
  expect_narrow_weights_are_fresh();
  step_->run_update(variant_);
  expect_narrow_weights_are_fresh();
}

TEST_P(RecordedSteps, find_narrow_weights_and_norm_made_by_the_kernel_that_divides_an_average) {
  const Arena square = backend->allocate(sizeof(double), "square");
  step_->run(variant_);
  const auto average = backend->record(StepKind::full, [&] {
    const Range range(*backend, "average");
    weights_->become_mean(weights_->communicated(), 1.0F / 3, static_cast<double*>(square.data()));
    weights_->refresh_narrow();
  });
  for (int i = 0; i < 2; ++i) average->replay();
  const std::vector<RecordedRange> ranges = average->ranges();
  ASSERT_EQ(ranges.size(), 1U);
  EXPECT_EQ(ranges.front().kernels, 1);
  expect_narrow_weights_are_fresh();
  double found = 0;
  backend->download(&found, square.data(), sizeof found);
  EXPECT_EQ(found, backend->sum_of_squares(weights_->data(), model_.layout.trainable_elements));
}

TEST_P(RecordedSteps, tell_which_kernels_belong_to_which_layer) {
  EXPECT_TRUE(step_->recorded().empty());
  for (int i = 0; i < 3; ++i) step_->run(variant_);
  const std::vector<RecordedStep> recorded = step_->recorded();
  ASSERT_EQ(recorded.size(), 1U);
  EXPECT_EQ(recorded.front().what, "all of a step of 8");
  std::vector<std::string> paths;
  for (const RecordedRange& range : recorded.front().ranges) {
    EXPECT_GT(range.kernels, 0) << range.path;
    paths.push_back(range.path);
  }
  // A dropout and a normalisation of their own kernels; conv1's filters and bias; no kernel outside every range.
  for (const char* path : {"input", "forward/norm1", "forward/dropout", "loss", "backward/norm2", "backward/conv1",
                           "backward/widen gradients", "update"}) {
    EXPECT_THAT(paths, Contains(path));
  }
  EXPECT_THAT(paths, Not(Contains("")));
  EXPECT_EQ(paths.front(), "input");
  EXPECT_EQ(paths.back(), "update");
}

class ProfiledTraining : public testing::Test {
 protected:
  TrainedRun train(const std::vector<Setting>& more) {
    return ground_.train(with({{"data", "synthetic:40"},
                               {"model", ground_.write("tiny.json", kTinyNetwork)},
                               {"batch", "8"},
                               {"epochs", "1"},
                               {"evaluation-batch", "40"},
                               {"profile-steps", "3:4"}},
                              more));
  }
  TrainingGround ground_;
};

TEST_F(ProfiledTraining, on_cuda_leaves_a_table_of_the_graphs_kernels) {
  if (const std::string lacks = lacks_gpus(); !lacks.empty()) GTEST_SKIP() << lacks;
  const TrainedRun run = train({{"device", "cuda"}});
  const auto table = nlohmann::json::parse(run.text_of("profile/graph-nodes.json"));
  ASSERT_EQ(table["graphs"].size(), 1U);
  EXPECT_EQ(table["graphs"][0]["name"], "all of a step of 8");
  EXPECT_EQ(table["graphs"][0]["ranges"][0]["path"], "step/input");
  EXPECT_EQ(table["graphs"][0]["ranges"][0]["kernels"], 2);
}

TEST_F(ProfiledTraining, on_cuda_counts_60_kernels_in_a_step_of_airbench94) {
  if (const std::string lacks = lacks_gpus(); !lacks.empty()) GTEST_SKIP() << lacks;
  const TrainedRun run = ground_.train({{"device", "cuda"},
                                        {"data", "synthetic:40"},
                                        {"batch", "4"},
                                        {"epochs", "1"},
                                        {"steps", "3"},
                                        {"views", "1"},
                                        {"evaluation-batch", "4"},
                                        {"profile-steps", "2:3"}},
                                       "airbench94");
  const auto table = nlohmann::json::parse(run.text_of("profile/graph-nodes.json"));
  ASSERT_EQ(table["graphs"].size(), 1U);
  std::map<std::string, int> kernels;
  for (const auto& range : table["graphs"][0]["ranges"]) {
    const std::string path = range["path"].get<std::string>() + "/", in_step = path.substr(path.find('/') + 1);
    kernels[in_step.substr(0, in_step.find('/'))] += range["kernels"].get<int>();
  }
  const std::map<std::string, int> expected = {
      {"input", 2}, {"forward", 16}, {"loss", 1}, {"backward", 29}, {"update", 12}};
  EXPECT_EQ(kernels, expected) << "the README counts them, too";
}

TEST_F(ProfiledTraining, on_cuda_without_graphs_gives_the_same_weights_and_an_empty_table) {
  if (const std::string lacks = lacks_gpus(); !lacks.empty()) GTEST_SKIP() << lacks;
  const std::vector<Setting> cuda = {{"device", "cuda"}, {"deterministic", "true"}};
  const TrainedRun graphs = train(cuda), calls = train(with(cuda, {{"graph", "false"}}));
  EXPECT_EQ(calls.tensors(), graphs.tensors());
  EXPECT_EQ(nlohmann::json::parse(calls.text_of("profile/graph-nodes.json"))["graphs"].size(), 0U);
}

TEST_F(ProfiledTraining, on_the_cpu_is_one_line_that_nothing_happens) {
  const TrainedRun run = train({{"device", "cpu"}});
  EXPECT_THAT(run.output, HasSubstr("--profile-steps: nothing to tell a profiler of on the CPU"));
  EXPECT_FALSE(std::filesystem::exists(run.folder / "profile"));
}

}  // namespace
}  // namespace convoy::test
