// The dynamic loss scale of fp16: its rule, what a recorded step makes of it, and that other precisions have none.
#include "convoy/loss_scale.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "data/sampler.hpp"
#include "data/synthetic.hpp"
#include "nn/initialise.hpp"
#include "support/backends.hpp"
#include "support/guarded_buffer.hpp"
#include "support/run_files.hpp"
#include "support/smooth_networks.hpp"
#include "support/training_run.hpp"
#include "train/averager.hpp"
#include "train/checkpoint/snapshot.hpp"
#include "train/local_rank.hpp"

namespace convoy::test {
namespace {

std::tuple<float, float, float> state_of(const LossScale& loss_scale) {
  return {loss_scale.scale, loss_scale.finite_steps, loss_scale.skipped};
}

TEST(LossScales, halve_with_every_step_that_is_not_finite_and_skip_it_down_to_the_least) {
  LossScale loss_scale;
  for (int halvings = 1; halvings <= 32; ++halvings) {
    judge(loss_scale, true);
    EXPECT_FALSE(loss_scale.skips);
    judge(loss_scale, false);
    EXPECT_TRUE(loss_scale.skips);
    EXPECT_EQ(state_of(loss_scale), std::tuple(std::ldexp(65536.0F, -halvings), 0.0F, halvings));
  }
  EXPECT_EQ(loss_scale.scale, kLeastLossScale);
  judge(loss_scale, false);
  EXPECT_FALSE(loss_scale.skips) << "no end of steps without an update";
  EXPECT_EQ(state_of(loss_scale), std::tuple(kLeastLossScale, 0.0F, 32.0F));
}

TEST(LossScales, double_after_so_many_finite_steps_in_a_row_up_to_the_most) {
  LossScale loss_scale;
  const auto finite = [&](int steps) {
    for (int i = 0; i < steps; ++i) judge(loss_scale, true);
  };
  finite(1999);
  EXPECT_EQ(state_of(loss_scale), std::tuple(65536.0F, 1999.0F, 0.0F));
  finite(1);
  EXPECT_EQ(state_of(loss_scale), std::tuple(131072.0F, 0.0F, 0.0F));
  finite(1999);
  judge(loss_scale, false);
  finite(1999);
  EXPECT_EQ(state_of(loss_scale), std::tuple(65536.0F, 1999.0F, 1.0F));
  finite(1 + 20 * 2000);
  EXPECT_EQ(loss_scale.scale, kMostLossScale);
}

TEST(LossScales, of_several_ranks_go_on_with_a_power_of_two_between_the_least_and_the_largest) {
  EXPECT_EQ(scale_of_mean((65536 + 32768) / 2.0F), 32768);
  EXPECT_EQ(scale_of_mean((7 * 65536 + 1024) / 8.0F), 32768);
  EXPECT_EQ(scale_of_mean((2 * kMostLossScale + kLeastLossScale) / 3), kMostLossScale / 2);
  for (float scale = kLeastLossScale; scale <= kMostLossScale; scale *= 2) EXPECT_EQ(scale_of_mean(scale), scale);
}

// Of batches of eight; fp16 reaches from 2^-24 to 2^16. The logits' gradients are at most an eighth of the scale.
constexpr float kFits = 1024;
constexpr float kOverflows = 0x1p24F;
constexpr float kVanishes = 0x1p-23F;  // times the loss: below half of 2^-24

// A rank without its trainer, on one epoch of ten batches of eight.
struct Rank {
  explicit Rank(const std::vector<Setting>& settings, Precision precision = Precision::fp16,
                std::string_view text = kTinyNetwork)
      : backend(make_backend_for_test("cuda", precision, Repeats::bit_for_bit)),
        config(resolve_config("", with({{"batch", "8"}, {"epochs", "1"}, {"learning-rate", "0.05"}}, settings))),
        model(make_model(parse_network(text, "test"), data.classes(), 3)),
        plan(config, model.layout, 80, 0, 1),
        images(*backend, data.train),
        bytes_before(backend->allocated_bytes()),
        parts(*backend, model, config, plan, images, pixel_scale({0.5}, {0.25}, 3)),
        bytes(backend->allocated_bytes() - bytes_before) {
    parts.weights.set(initial_weights(model.layout, 0));
    parts.step.prepare({plan.variant(0)});
    images.set_order(epoch_order(0, 0, images.count()));
    take({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  }

  // The steps to come have these batches, and are those of a run of no other.
  void take(const std::vector<int>& batches, float loss_factor = 1) {
    std::vector<StepRow> rows;
    for (const int batch : batches) {
      StepRow row = plan.rows(0)[static_cast<std::size_t>(batch)];
      row.step = static_cast<std::int64_t>(rows.size());
      row.loss_weight *= loss_factor;
      for (float& rate : row.learning_rates) rate /= loss_factor;
      rows.push_back(row);
    }
    parts.step.set_rows(rows);
  }
  void run(int steps = 1) {
    for (int i = 0; i < steps; ++i) parts.step.run(plan.variant(0));
  }
  LossScale loss_scale() const { return parts.step.loss_scale().value(); }

  // What an update may change: trainable weights, moments, and the weights in fp16.
  std::vector<float> updated() const {
    const std::size_t trainable = model.layout.trainable_elements;
    const FloatRange moments = parts.weights.moments_alone();
    std::vector<float> all(moments.count + 2 * trainable);
    backend->download(all.data(), moments.data, moments.count * sizeof(float));
    backend->download(&all[moments.count], parts.weights.data(), trainable * sizeof(float));
    backend->unpack_activation(1, {1, 1, static_cast<int>(trainable)}, parts.weights.narrow(),
                               &all[moments.count + trainable]);
    return all;
  }
  std::vector<float> trained() const {
    std::vector<float> values = parts.weights.values();
    values.resize(model.layout.trainable_elements);
    return values;
  }
  // Of a recorded step, by outermost range.
  std::map<std::string, int> kernels() {
    run(3);
    const std::vector<RecordedStep> recorded = parts.step.recorded();
    std::map<std::string, int> kernels;
    for (const RecordedRange& range : recorded.front().ranges) {
      kernels[range.path.substr(0, range.path.find('/'))] += range.kernels;
    }
    return kernels;
  }

  std::unique_ptr<Backend> backend;
  RunConfig config;
  Dataset data = make_synthetic(80, 0);
  Model model;
  StepPlan plan;
  DeviceSet images;
  std::size_t bytes_before;
  LocalRank parts;
  std::size_t bytes;  // of weights, moments, gradients, and what a step keeps
};

class ScaledSteps : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = reason_to_skip({"cuda", Precision::fp16, 0, ""});
    if (!reason.empty()) GTEST_SKIP() << reason;
  }
};

TEST_F(ScaledSteps, on_cuda_one_that_overflows_is_as_if_it_had_not_been_but_for_the_scale) {
  const std::vector<Setting> optimizers[] = {{{"momentum", "0"}},
                                             {{"momentum", "0.9"}, {"nesterov", "true"}},
                                             {{"optimizer", "adamw"}, {"weight-decay", "0.01"}},
                                             {{"momentum", "0.9"}, {"group", "filters.optimizer=muon"}}};
  for (const std::vector<Setting>& optimizer : optimizers) {
    for (const char* clip : {"0", "0.5"}) {
      SCOPED_TRACE(optimizer.back().option + "=" + optimizer.back().value + ", clip " + clip);
      Rank rank(with(optimizer, {{"clip-norm", clip}})), other(with(optimizer, {{"clip-norm", clip}}));
      rank.take({0, 1, 2, 3, 4});
      other.take({0, 1, 2, 4});
      for (Rank* one : {&rank, &other}) {
        one->parts.step.set_loss_scale({.scale = kFits});
        one->run(3);  // the calls, the capture, and a replay
      }
      const std::vector<float> before = rank.updated();
      rank.parts.step.set_loss_scale({.scale = kOverflows, .finite_steps = 3});
      rank.run();
      EXPECT_EQ(rank.updated(), before);
      EXPECT_EQ(state_of(rank.loss_scale()), std::tuple(kOverflows / 2, 0.0F, 1.0F));
      rank.parts.step.set_loss_scale({.scale = kFits, .skipped = 1});
      for (Rank* one : {&rank, &other}) one->run();
      EXPECT_EQ(rank.updated(), other.updated());
      EXPECT_NE(rank.updated(), before);
      EXPECT_EQ(rank.parts.step.take_sums().not_finite, 0);
    }
  }
}

TEST_F(ScaledSteps, on_cuda_finite_ones_let_the_scale_grow) {
  Rank rank({});
  rank.parts.step.set_loss_scale({.scale = kFits, .growth = 3});
  rank.run(7);
  EXPECT_EQ(state_of(rank.loss_scale()), std::tuple(4 * kFits, 1.0F, 0.0F));
}

TEST_F(ScaledSteps, on_cuda_what_is_not_finite_at_the_least_scale_reaches_the_weights) {
  Rank rank({});
  rank.take({0}, 0x1p60F);
  rank.parts.step.set_loss_scale({.scale = kLeastLossScale});
  rank.run();
  EXPECT_EQ(state_of(rank.loss_scale()), std::tuple(kLeastLossScale, 0.0F, 0.0F));
  EXPECT_GE(rank.backend->first_not_finite(rank.parts.weights.data(), rank.model.layout.trainable_elements), 0);
}

TEST_F(ScaledSteps, on_cuda_train_where_gradients_would_vanish_without) {
  Rank scaled({}, Precision::fp16, kSmoothNetwork), unscaled({}, Precision::fp16, kSmoothNetwork);
  Rank wide({}, Precision::fp32, kSmoothNetwork);
  unscaled.parts.step.set_loss_scale({.scale = 1});
  const std::vector<float> start = scaled.trained();
  for (Rank* rank : {&scaled, &unscaled, &wide}) {
    rank->take({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, kVanishes);
    rank->run(10);
  }
  EXPECT_EQ(unscaled.trained(), start);
  const auto moved = [&](const Rank& rank) {
    std::vector<float> all = rank.trained();
    for (std::size_t i = 0; i < all.size(); ++i) all[i] -= start[i];
    return all;
  };
  // The least, of conv1's output, are scaled to about 2^-20, where fp16 rounds by up to 2^-25, 3 % of one; their sums
  // over 2,048 pixels and all others are nearer.
  EXPECT_LT(distance(moved(scaled), moved(wide)), 0.03);
}

TEST_F(ScaledSteps, on_cuda_of_two_ranks_that_average_gradients_both_skip_what_overflows_on_one) {
  for (const std::size_t overflowing : {0, 1}) {
    Rank whole({{"average", "step"}, {"momentum", "0.9"}});
    std::vector<std::unique_ptr<LocalRank>> ranks;
    for (int rank = 0; rank < 2; ++rank) {
      const StepPlan plan(whole.config, whole.model.layout, 80, rank, 2);
      ranks.push_back(std::make_unique<LocalRank>(*whole.backend, whole.model, whole.config, plan, whole.images,
                                                  pixel_scale({0.5}, {0.25}, 3)));
      ranks.back()->step.prepare({plan.variant(0)});
      ranks.back()->step.set_rows(plan.rows(0));
      ranks.back()->weights.set(initial_weights(whole.model.layout, 0));
      ranks.back()->step.set_loss_scale({.scale = kFits});
    }
    const std::unique_ptr<Communicator> alone = make_self_communicator();
    Averager averager(*whole.backend, *alone, whole.config, ranks);
    const auto trained = [&](std::size_t rank) {
      std::vector<float> values = ranks[rank]->weights.values();
      values.resize(whole.model.layout.trainable_elements);
      return values;
    };
    for (int step = 0; step < 3; ++step) averager.step(step);
    const std::vector<float> before = trained(0);
    EXPECT_NE(before, whole.trained());
    ranks[overflowing]->step.set_loss_scale({.scale = kOverflows});
    averager.step(3);
    for (const std::size_t rank : {0, 1}) {
      const float scale = rank == overflowing ? kOverflows : kFits;
      EXPECT_EQ(state_of(ranks[rank]->step.loss_scale().value()), std::tuple(scale / 2, 0.0F, 1.0F));
      EXPECT_EQ(trained(rank), before);
    }
  }
}

TEST_F(ScaledSteps, on_cuda_give_the_scale_to_a_checkpoint) {
  Rank saved({}), restored({});
  saved.parts.step.set_loss_scale({.scale = 512, .finite_steps = 1999, .skipped = 3});
  Snapshot snapshot(*saved.backend);
  saved.parts.step.visit_state(snapshot);
  SnapshotReader reader(*restored.backend, snapshot);
  restored.parts.step.visit_state(reader);
  EXPECT_EQ(state_of(restored.loss_scale()), std::tuple(512.0F, 1999.0F, 3.0F));
  EXPECT_EQ(restored.loss_scale().growth, kLossScaleGrowth);
}

TEST_F(ScaledSteps, on_cuda_other_precisions_pay_nothing) {
  for (const bool clips : {false, true}) {
    const std::vector<Setting> settings = {{"momentum", "0.9"}, {"clip-norm", clips ? "1" : "0"}};
    Rank scaled(settings), fp32(settings, Precision::fp32);
    std::map<std::string, int> kernels = scaled.kernels();
    EXPECT_EQ(kernels["update"], 2) << "the clipping's sum tells whether gradients are finite";
    for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
      SCOPED_TRACE(name(precision));
      Rank rank(settings, precision);
      std::map<std::string, int> found = rank.kernels();
      EXPECT_EQ(found["update"], clips ? 2 : 1);
      for (const char* range : {"input", "loss"}) EXPECT_EQ(found[range], kernels[range]) << range;
      EXPECT_EQ(rank.parts.step.loss_scale(), std::nullopt);
      const std::size_t narrow = rank.backend->narrow_bytes(rank.model.layout.total_elements);
      EXPECT_EQ(rank.bytes, fp32.bytes + narrow);
      EXPECT_EQ(scaled.bytes,
                fp32.bytes + scaled.backend->narrow_bytes(rank.model.layout.total_elements) + sizeof(LossScale));
    }
  }
}

// What a sum over any number of blocks makes of one bad value.
TEST_F(ScaledSteps, on_cuda_one_value_that_is_not_finite_is_noticed_wherever_it_lies) {
  const auto backend = make_backend_for_test("cuda", Precision::fp16);
  struct Factors {
    float factor, norm;
  };
  for (const std::size_t count : {1, 5, 1024, 100003, 600001}) {
    std::vector<float> gradients(count, 0);
    gradients[0] = 3e30F;
    gradients[count - 1] = count == 1 ? 5e30F : 4e30F;
    for (const auto& [where, value] : {std::pair<std::size_t, float>{count, 0},
                                       {0, std::numeric_limits<float>::infinity()},
                                       {count / 2, std::numeric_limits<float>::quiet_NaN()},
                                       {count - 1, -std::numeric_limits<float>::infinity()}}) {
      SCOPED_TRACE(testing::Message() << where << " of " << count);
      std::vector<float> values = gradients;
      if (where < count) values[where] = value;
      const GuardedBuffer device = on_device(*backend, values, "gradients");
      const GuardedBuffer factors(*backend, sizeof(Factors), "factor and norm");
      const GuardedBuffer scale = on_device(*backend, std::vector<LossScale>{{.scale = kFits}}, "loss scale");
      backend->clip_factor(device.as<float>(), count, 1, factors.as<float>(), factors.as<float>() + 1,
                           scale.as<LossScale>());
      const LossScale judged = from_device<LossScale>(*backend, scale)[0];
      EXPECT_EQ(judged.skips, where < count);
      EXPECT_EQ(judged.scale, where < count ? kFits / 2 : kFits);
      factors.expect_guards_intact();
      scale.expect_guards_intact();
      if (where < count) continue;
      const Factors found = from_device<Factors>(*backend, factors)[0];
      EXPECT_FLOAT_EQ(found.norm, 5e30F / kFits);
      EXPECT_FLOAT_EQ(found.factor, 1 / 5e30F);
    }
  }
}

}  // namespace
}  // namespace convoy::test
