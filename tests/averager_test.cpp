// What ranks have after averages that are late, on two levels, of moments or moving: each against the same steps taken
// by hand, in double precision. Two ranks of one worker, a smooth network, batches of their own.
// needs: oneDNN
#include "train/averager.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include "convoy/error.hpp"
#include "data/sampler.hpp"
#include "data/synthetic.hpp"
#include "nn/initialise.hpp"
#include "support/backends.hpp"
#include "support/smooth_networks.hpp"
#include "support/thread_ranks.hpp"
#include "train/device_set.hpp"

namespace convoy::test {
namespace {

using Values = std::vector<double>;  // the communicated elements of one rank

constexpr int kImages = 64;
constexpr double kTolerance = 2e-6;  // fp32, a few roundings of weights below 1 a step, over some steps

// Ranks of one worker, ready for their first step.
class Ranks {
 public:
  Ranks(int count, const std::vector<Setting>& settings, Communicator* communicator = nullptr)
      : config_(config_of(settings)), self_(make_self_communicator()) {
    Communicator& world = communicator == nullptr ? *self_ : *communicator;
    training_.set_order(epoch_order(0, 0, kImages));
    for (int local = 0; local < count; ++local) {
      const StepPlan plan(config_, model_.layout, kImages, world.rank() * count + local, world.size() * count);
      ranks_.push_back(
          std::make_unique<LocalRank>(*backend_, model_, config_, plan, training_, pixel_scale({0.5}, {0.25}, 3)));
      ranks_.back()->step.prepare(plan.variants());
      ranks_.back()->step.set_rows(plan.rows(0));
      ranks_.back()->weights.set(initial_weights(model_.layout, 0));
    }
    averager_ = std::make_unique<Averager>(*backend_, world, config_, ranks_);
  }

  Averager& averager() { return *averager_; }
  std::size_t size() const { return ranks_.size(); }
  LocalRank& rank(std::size_t r) { return *ranks_[r]; }
  void step_alone(std::int64_t step) {
    for (const auto& rank : ranks_) rank->step.run(rank->plan.variant(step));
  }
  Values values(std::size_t r) const { return values_of(ranks_[r]->weights.data()); }
  void set(std::size_t r, const Values& values) {
    std::vector<float> all = ranks_[r]->weights.values();
    for (std::size_t i = 0; i < values.size(); ++i) all[i] = static_cast<float>(values[i]);
    ranks_[r]->weights.set(all);
  }
  Values values_of(const float* data) const { return {data, data + model_.layout.communicated_elements}; }
  Values mean() const {
    Values sum = values(0);
    for (std::size_t r = 1; r < size(); ++r) {
      const Values other = values(r);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += other[i];
    }
    for (double& value : sum) value /= static_cast<double>(size());
    return sum;
  }
  const ParamLayout& layout() const { return model_.layout; }

 private:
  static RunConfig config_of(std::vector<Setting> settings) {
    const std::vector<Setting> common = {
        {"batch", "8"}, {"epochs", "1"}, {"optimizer", "adam"}, {"learning-rate", "0.01"}};
    settings.insert(settings.begin(), common.begin(), common.end());
    return resolve_config("", settings);
  }

  RunConfig config_;
  std::unique_ptr<Backend> backend_ = make_backend_for_test("cpu", Precision::fp32);
  Dataset data_ = make_synthetic(kImages, 0);
  Model model_ = make_model(parse_network(std::string(kSmoothNormNetwork), "test"), data_.classes(), 3);
  DeviceSet training_{*backend_, data_.train};
  std::unique_ptr<Communicator> self_;
  std::vector<std::unique_ptr<LocalRank>> ranks_;
  std::unique_ptr<Averager> averager_;
};

double distance(const Values& a, const Values& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

TEST(Averagers, a_late_average_corrects_the_weights_a_step_later) {
  Ranks late(2, {{"average", "every:2"}, {"average-delay", "1"}}), by_hand(2, {{"average", "never"}});
  std::vector<Values> sent;
  Values mean;
  for (int step = 0; step < 6; ++step) {
    late.averager().step(step);
    by_hand.step_alone(step);
    for (std::size_t r = 0; r < 2 && !sent.empty(); ++r) {
      Values corrected = by_hand.values(r);
      for (std::size_t i = 0; i < corrected.size(); ++i) corrected[i] += mean[i] - sent[r][i];
      by_hand.set(r, corrected);
    }
    sent.clear();
    if (step % 2 == 1) {
      mean = by_hand.mean();
      sent = {by_hand.values(0), by_hand.values(1)};
    }
    for (std::size_t r = 0; r < 2; ++r) {
      EXPECT_LE(distance(late.values(r), by_hand.values(r)), kTolerance) << "rank " << r << " after step " << step;
    }
    EXPECT_GT(distance(late.values(0), late.values(1)), 1e-3) << "the next step was not taken apart";
  }
}

TEST(Averagers, the_last_average_is_never_late) {
  Ranks ranks(2, {{"average", "every:2"}, {"average-delay", "1"}, {"steps", "4"}});
  for (int step = 0; step < 4; ++step) ranks.averager().step(step);
  EXPECT_EQ(ranks.values(0), ranks.values(1));
}

TEST(Averagers, nodes_average_among_themselves_between_averages_of_the_world) {
  Ranks ranks(4, {{"average", "every:4"}, {"average-node", "every:2"}, {"node-size", "2"}});
  for (int step = 0; step < 8; ++step) {
    ranks.averager().step(step);
    const bool is_node_due = step % 2 == 1, is_world_due = step % 4 == 3;
    EXPECT_EQ(ranks.values(0) == ranks.values(1), is_node_due) << step;
    EXPECT_EQ(ranks.values(2) == ranks.values(3), is_node_due) << step;
    EXPECT_EQ(ranks.values(0) == ranks.values(2), is_world_due) << step;
  }
}

TEST(Averagers, a_node_of_all_ranks_is_the_world) {
  Ranks flat(4, {{"average", "every:2"}});
  Ranks node(4, {{"average", "end"}, {"average-node", "every:2"}, {"node-size", "4"}});
  for (int step = 0; step < 6; ++step) {
    flat.averager().step(step);
    node.averager().step(step);
  }
  EXPECT_EQ(flat.values(3), node.values(3));
}

// Three workers in nodes of two and one: the world's mean counts every rank once.
TEST(Averagers, two_levels_equal_one_where_their_periods_agree_with_unequal_nodes_too) {
  run_ranks(3, [](Communicator& communicator) {
    Ranks flat(1, {{"average", "every:2"}}, &communicator);
    Ranks levels(1, {{"average", "every:2"}, {"average-node", "every:2"}, {"node-size", "2"}}, &communicator);
    for (int step = 0; step < 4; ++step) {
      flat.averager().step(step);
      levels.averager().step(step);
    }
    EXPECT_LE(distance(flat.values(0), levels.values(0)), kTolerance);
  });
}

// Whatever the buckets: four ranks of one worker, and three workers of two.
TEST(Averagers, gradients_in_buckets_are_the_same_sums_to_the_bit) {
  const auto trained = [](int workers, int local, const char* megabytes) {
    std::vector<Values> values(static_cast<std::size_t>(workers));
    std::int64_t collectives = 0;
    run_ranks(workers, [&](Communicator& communicator) {
      Ranks ranks(local, {{"average", "step"}, {"gradient-bucket", megabytes}}, &communicator);
      for (int step = 0; step < 8; ++step) ranks.averager().step(step);
      const auto weights = [&](std::size_t r) {  // statistics are each rank's own
        Values all = ranks.values(r);
        all.resize(ranks.layout().trainable_elements);
        return all;
      };
      EXPECT_EQ(weights(0), weights(static_cast<std::size_t>(local) - 1));
      values[static_cast<std::size_t>(communicator.rank())] = weights(0);
      if (communicator.rank() == 0) collectives = ranks.averager().cost().collectives;
    });
    EXPECT_EQ(std::ranges::count(values, values.front()), workers);
    return std::pair(values.front(), collectives);
  };
  for (const auto& [workers, local] : {std::pair{1, 4}, {3, 2}, {2, 1}}) {
    const auto [whole, once_a_step] = trained(workers, local, "0");
    EXPECT_EQ(once_a_step, 8);
    for (const char* megabytes : {"0.000001", "0.002"}) {
      const auto [in_buckets, collectives] = trained(workers, local, megabytes);
      EXPECT_EQ(in_buckets, whole) << workers << " workers, buckets of " << megabytes << " MB";
      EXPECT_GT(collectives, 8) << megabytes;
    }
  }
}

TEST(Averagers, moments_stay_are_averaged_or_start_anew) {
  const auto moments = [](Ranks& ranks, const float* data) {
    return Values(data, data + ranks.layout().trainable_elements);
  };
  const auto first_moments = [&](Ranks& ranks, std::size_t r) {
    return moments(ranks, ranks.rank(r).weights.first_moment());
  };
  const auto second_moments = [&](Ranks& ranks, std::size_t r) {
    return moments(ranks, ranks.rank(r).weights.second_moment());
  };
  const auto after = [](Ranks& ranks, bool averages) {
    for (int step = 0; step < 2; ++step) averages ? ranks.averager().step(step) : ranks.step_alone(step);
  };
  Ranks apart(2, {{"average", "never"}}), local(2, {{"average", "every:2"}});
  Ranks averaged(2, {{"average", "every:2"}, {"moments", "average"}}),
      reset(2, {{"average", "every:2"}, {"moments", "reset"}});
  after(apart, false);
  for (Ranks* ranks : {&local, &averaged, &reset}) after(*ranks, true);
  const Values own = first_moments(apart, 0), other = first_moments(apart, 1);
  EXPECT_EQ(averaged.averager().cost().collectives, 1) << "moments travel with the weights";
  EXPECT_EQ(first_moments(local, 0), own);
  EXPECT_EQ(first_moments(local, 1), other);
  Values mean = own;
  for (std::size_t i = 0; i < mean.size(); ++i) mean[i] = (own[i] + other[i]) / 2;
  for (const std::size_t r : {0U, 1U}) {
    EXPECT_LE(distance(first_moments(averaged, r), mean), kTolerance);
    EXPECT_EQ(first_moments(reset, r), Values(mean.size(), 0.0));
    EXPECT_EQ(second_moments(reset, r), second_moments(apart, r));  // Adam's correction has no beginning to go back to
    EXPECT_EQ(second_moments(averaged, 0), second_moments(averaged, r));
  }
  Ranks late(2, {{"average", "every:2"}, {"moments", "average"}, {"average-delay", "1"}});
  for (int step = 0; step < 3; ++step) {
    late.averager().step(step);
    const bool are_equal = step == 2;
    EXPECT_EQ(first_moments(late, 0) == first_moments(late, 1), are_equal);
    EXPECT_EQ(second_moments(late, 0) == second_moments(late, 1), are_equal);
  }
}

TEST(Averagers, a_moving_average_follows_its_formula_over_all_ranks) {
  Ranks ranks(2, {{"average", "every:3"}, {"ema", "0.4"}});
  Values expected = ranks.mean();
  for (int step = 0; step < 6; ++step) {
    ranks.averager().step(step);
    const double decay = std::min(0.4, (1.0 + step) / (10.0 + step));
    const Values now = ranks.mean();
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = decay * expected[i] + (1 - decay) * now[i];
  }
  EXPECT_LE(distance(ranks.values_of(ranks.averager().averaged().data()), expected), kTolerance);
}

TEST(Averagers, one_rank_s_broken_weights_are_named_before_they_spread) {
  Ranks ranks(3, {{"average", "every:1"}});
  Values broken = ranks.values(2);
  broken[5] = NAN;
  ranks.set(2, broken);
  try {
    ranks.averager().step(0);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("rank 2 has weights that are not finite"), std::string::npos)
        << error.what();
  }
  EXPECT_TRUE(std::isfinite(ranks.values(0)[5]));
}

TEST(Averagers, what_does_not_go_together_is_refused) {
  const std::vector<std::vector<Setting>> wrong = {
      {{"average", "step"}, {"outer", "slowmo"}},
      {{"average", "step"}, {"average-delay", "1"}},
      {{"average", "step"}, {"moments", "reset"}},
      {{"average", "step"}, {"average-node", "every:2"}},
      {{"average", "every:2"}, {"outer", "slowmo"}, {"average-delay", "1"}},
      {{"average", "every:2"}, {"outer", "slowmo"}, {"start", "own"}},
      {{"average", "every:4"}, {"average-node", "every:2"}, {"node-size", "3"}},
  };
  for (const auto& settings : wrong) EXPECT_THROW(Ranks(2, settings), UsageError) << settings[1].option;
  EXPECT_NO_THROW(Ranks(2, {{"average", "step"}, {"moments", "average"}}));  // they are the same on all ranks anyway
}

}  // namespace
}  // namespace convoy::test
