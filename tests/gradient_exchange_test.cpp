// Buckets of gradients: they hold every gradient once, and none leaves before it is complete or waits until all are.
// needs: oneDNN
#include "train/gradient_exchange.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <vector>

#include "data/sampler.hpp"
#include "data/synthetic.hpp"
#include "nn/initialise.hpp"
#include "support/backends.hpp"
#include "support/training_run.hpp"
#include "train/device_set.hpp"
#include "train/local_rank.hpp"

namespace convoy::test {
namespace {

LoweredNetwork lowered(const Model& model, const std::string& frozen_group = "") {
  return lower(model.network, model.shapes, model.layout, {.frozen = [&](const Parameter& parameter) {
                 return parameter.trainable() && model.layout.groups[parameter.group] == frozen_group;
               }});
}

// Of the parameters in the bucket whose gradients the network's backward pass writes.
int first_operation_in(const GradientBucket& bucket, const Model& model, const LoweredNetwork& network) {
  for (std::size_t i = 0; i < network.operations.size(); ++i) {
    const LoweredOperation& operation = network.operations[i];
    for (const int index : {operation.weights, operation.bias}) {
      if (!operation.backward || index < 0 || !model.layout.parameters[index].trainable()) continue;
      const std::size_t offset = model.layout.parameters[index].offset;
      if (offset >= bucket.offset && offset < bucket.offset + bucket.count) return static_cast<int>(i);
    }
  }
  return static_cast<int>(network.operations.size()) - 1;
}

TEST(GradientBuckets, hold_every_gradient_once_and_leave_with_the_last_operation_that_writes_one) {
  for (const char* name : {"seed", "airbench94", "airbench_narrow", "resnet18"}) {
    const Model model = make_model(name, 10, 3);
    const LoweredNetwork network = lowered(model);
    for (const std::size_t least : {std::size_t{1}, std::size_t{100'000}, std::size_t{2'000'000}}) {
      SCOPED_TRACE(testing::Message() << name << ", " << least);
      std::vector<GradientBucket> buckets = gradient_buckets(model.layout, network, least);
      EXPECT_TRUE(std::ranges::is_sorted(buckets, std::greater(), &GradientBucket::operation));
      for (const GradientBucket& bucket : buckets) {
        EXPECT_EQ(bucket.operation, first_operation_in(bucket, model, network));
        EXPECT_TRUE(bucket.offset == 0 || bucket.count * sizeof(float) >= least) << bucket.offset;
      }
      std::ranges::sort(buckets, {}, &GradientBucket::offset);
      std::size_t end = 0;
      for (const GradientBucket& bucket : buckets) {
        EXPECT_EQ(bucket.offset, end);
        end += bucket.count;
      }
      EXPECT_EQ(end, model.layout.trainable_elements);
      EXPECT_GT(buckets.size(), least < 1'000'000 ? 2U : 0U);
    }
    EXPECT_EQ(gradient_buckets(model.layout, network, 0).size(), 1U) << name;
  }
}

// Three tensors whose operations stand in another order than they lie.
TEST(GradientBuckets, leave_when_their_last_tensor_is_complete_wherever_it_lies) {
  ParamLayout layout;
  LoweredNetwork network;
  for (std::size_t i = 0; i < 3; ++i) {
    layout.parameters.push_back({.offset = 64 * i, .count = 64, .section = Section::trainable});
  }
  layout.trainable_elements = 3 * 64;
  for (const int parameter : {0, 2, 1}) network.operations.push_back({.weights = parameter, .backward = true});
  const auto found = gradient_buckets(layout, network, 2 * 64 * sizeof(float));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(std::tuple(found[0].offset, found[0].count, found[0].operation), std::tuple(64U, 128U, 1));
  EXPECT_EQ(std::tuple(found[1].offset, found[1].count, found[1].operation), std::tuple(0U, 64U, 0));
  const auto single = gradient_buckets(layout, network, 1);
  ASSERT_EQ(single.size(), 3U);
  EXPECT_EQ(single[0].offset, 64U) << "the last operation's";
}

TEST(GradientBuckets, do_not_wait_for_tensors_that_are_not_trained_now) {
  const Model model = make_model("airbench94", 10, 3);
  const auto last_of = [&](const std::string& frozen) {
    const LoweredNetwork network = lowered(model, frozen);
    return network.operations[gradient_buckets(model.layout, network, 1).back().operation].name;
  };
  const Parameter& first = model.layout.parameters[model.layout.find("whiten.bias")];
  EXPECT_EQ(last_of(""), "layers.0");
  EXPECT_NE(last_of(model.layout.groups[first.group]), "layers.0");
}

// Looks at every bucket when it leaves, and again when all are complete.
class Spy final : public GradientExchange {
 public:
  Spy(const float* gradients, std::size_t count) : gradients_(gradients), count_(count) {}

  void begin(const GradientBucket& bucket) override { begun_.push_back({bucket, all()}); }
  void finish(const GradientBucket& last) override {
    const std::vector<float> in_the_end = all();
    for (const Begun& begun : begun_) {
      EXPECT_TRUE(is_equal(begun.bucket, begun.gradients, in_the_end)) << "left before it was complete";
      if (begun.bucket.operation == last.operation) continue;
      EXPECT_FALSE(is_equal(last, begun.gradients, in_the_end)) << "left when all were complete";
    }
    most_begun_ = std::max(most_begun_, begun_.size());
    begun_.clear();
  }
  std::size_t most_begun() const { return most_begun_; }

 private:
  struct Begun {
    GradientBucket bucket;
    std::vector<float> gradients;  // all, when it began
  };
  std::vector<float> all() const { return {gradients_, gradients_ + count_}; }
  static bool is_equal(const GradientBucket& bucket, const std::vector<float>& a, const std::vector<float>& b) {
    const auto first = static_cast<std::ptrdiff_t>(bucket.offset),
               end = first + static_cast<std::ptrdiff_t>(bucket.count);
    return std::equal(a.begin() + first, a.begin() + end, b.begin() + first);
  }

  const float* gradients_;
  std::size_t count_;
  std::vector<Begun> begun_;
  std::size_t most_begun_ = 0;  // in one step
};

// With two ways from one layer to another.
constexpr const char* kBranches = R"({"name": "branches", "input": [32, 32, 3], "layers": [
  {"name": "conv1", "type": "convolution", "filters": 8, "kernel": 3, "stride": 2, "padding": 1},
  {"name": "silu1", "type": "silu"},
  {"name": "conv2", "type": "convolution", "filters": 8, "kernel": 3, "padding": 1},
  {"name": "norm2", "type": "batch_normalisation"},
  {"name": "shortcut", "type": "convolution", "from": "silu1", "filters": 8, "kernel": 1, "bias": false},
  {"name": "add", "type": "add", "from": ["norm2", "shortcut"]},
  {"name": "relu", "type": "relu"},
  {"name": "conv3", "type": "convolution", "filters": 16, "kernel": 1, "group": "third"},
  {"name": "global", "type": "global_average_pool"},
  {"name": "head", "type": "dense", "outputs": "classes"}]})";

TEST(GradientExchanges, each_bucket_leaves_when_it_is_complete_while_others_are_not) {
  constexpr int kImages = 40;
  const std::vector<Setting> common = {{"batch", "16"}, {"epochs", "2"}};
  const std::unique_ptr<Backend> backend = make_backend_for_test("cpu", Precision::fp32);
  const Dataset data = make_synthetic(kImages, 0);
  const auto stops = with(common, {{"group", "third.until-epoch=1"}});
  struct Case {
    const char* text;
    std::vector<Setting> settings;
    std::size_t least_bytes;
  };
  // 400 bytes: more than the shortcut alone has.
  for (const auto& [text, settings, least_bytes] :
       {Case{kTinyNetwork, common, 1}, {kBranches, common, 1}, {kBranches, common, 400}, {kBranches, stops, 400}}) {
    SCOPED_TRACE(testing::Message() << text << least_bytes);
    const RunConfig config = resolve_config("", settings);
    const Model model = make_model(parse_network(text, "test"), data.classes(), 3);
    const StepPlan plan(config, model.layout, kImages, 0, 1);
    DeviceSet training(*backend, data.train);
    LocalRank rank(*backend, model, config, plan, training, pixel_scale({0.5}, {0.25}, 3));
    rank.step.prepare(plan.variants());
    rank.weights.set(initial_weights(model.layout, 0));
    Spy spy(rank.step.gradients(), model.layout.trainable_elements);
    rank.step.exchange_gradients(spy, least_bytes);
    for (int epoch = 0; epoch < 2; ++epoch) {
      training.set_order(epoch_order(0, epoch, training.count()));
      rank.step.set_rows(plan.rows(epoch));
      for (std::int64_t i = 0; i < plan.steps_per_epoch(); ++i) {
        rank.step.run(plan.variant(epoch * plan.steps_per_epoch() + i));
      }
    }
    EXPECT_GT(spy.most_begun(), 2U);
  }
}

}  // namespace
}  // namespace convoy::test
