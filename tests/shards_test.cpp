// The modes of --shard: which samples a rank sees, how many, how often, and when it sees others.
#include "data/shards.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include "convoy/error.hpp"
#include "data/dirichlet.hpp"
#include "data/sampler.hpp"

namespace convoy {
namespace {

using testing::HasSubstr;

std::vector<std::int32_t> labels_of(std::size_t count, int classes = 10) {
  std::vector<std::int32_t> labels(count);
  for (std::size_t i = 0; i < count; ++i) labels[i] = static_cast<std::int32_t>(i) % classes;
  return labels;
}

// An epoch as the ranks see it: what the rows of each rank's steps point at.
std::vector<Samples> by_rank(const Samples& order, const ShardPlan& plan) {
  std::vector<Samples> seen(static_cast<std::size_t>(plan.world_size));
  const auto positions = static_cast<std::int64_t>(order.size());
  for (std::int64_t first = 0; first < positions; first += plan.batch) {
    for (int rank = 0; rank < plan.world_size; ++rank) {
      const Share share = share_of(first, std::min(plan.batch, positions - first), rank, plan.world_size);
      const auto begin = order.begin() + share.first;
      auto& own = seen[static_cast<std::size_t>(rank)];
      own.insert(own.end(), begin, begin + share.count);
    }
  }
  return seen;
}

Samples sorted(Samples samples) {
  std::sort(samples.begin(), samples.end());
  return samples;
}

Samples first_numbers(std::size_t count) {
  Samples numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

std::size_t common(const Samples& left, const Samples& right) {
  Samples both;
  std::ranges::set_intersection(sorted(left), sorted(right), std::back_inserter(both));
  return both.size();
}

Shards make(std::string_view mode, const ShardPlan& plan, const std::vector<std::int32_t>& labels) {
  return {Sharding::parse(mode), plan, labels};
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

// 103 samples in batches of 10: a short last batch, and shares of it and of a full one that do not divide evenly.
class Partition : public testing::TestWithParam<std::tuple<std::string, int>> {};

TEST_P(Partition, every_sample_comes_once_in_an_epoch_whatever_the_number_of_ranks) {
  const auto& [mode, world] = GetParam();
  const std::vector<std::int32_t> labels = labels_of(103);
  const Shards shards = make(mode, {.seed = 3, .batch = 10, .world_size = world}, labels);
  ASSERT_EQ(shards.positions(), 103);
  for (const int epoch : {0, 1, 7}) EXPECT_EQ(sorted(shards.order(epoch)), first_numbers(103)) << epoch;
}

TEST_P(Partition, epochs_and_seeds_change_the_order_of_every_rank) {
  const auto& [mode, world] = GetParam();
  const std::vector<std::int32_t> labels = labels_of(1000);
  const ShardPlan plan{.seed = 3, .batch = 100, .world_size = world},
      other{.seed = 4, .batch = 100, .world_size = world};
  const auto first = by_rank(make(mode, plan, labels).order(0), plan);
  for (const auto& seen :
       {by_rank(make(mode, plan, labels).order(1), plan), by_rank(make(mode, other, labels).order(0), other)}) {
    for (std::size_t rank = 0; rank < first.size(); ++rank) {
      std::size_t same = 0;
      for (std::size_t i = 0; i < first[rank].size(); ++i) same += first[rank][i] == seen[rank][i] ? 1 : 0;
      EXPECT_LT(same, 10U) << "rank " << rank;  // one or two expected by chance
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, Partition,
                         testing::Combine(testing::Values("epoch", "fixed", "dirichlet:0.1", "dirichlet:100"),
                                          testing::Values(1, 3, 4)));

TEST(Shards, the_epoch_mode_is_the_one_permutation_that_one_rank_would_see) {
  const std::vector<std::int32_t> labels = labels_of(103);
  for (const int world : {1, 4}) {
    EXPECT_EQ(make("epoch", {.seed = 5, .batch = 10, .world_size = world}, labels).order(2), epoch_order(5, 2, 103));
  }
}

TEST(Shards, only_the_epoch_mode_deals_ranks_other_samples_in_the_next_epoch) {
  const std::vector<std::int32_t> labels = labels_of(103);
  for (const char* mode : {"epoch", "fixed", "dirichlet:1", "overlapping"}) {
    const ShardPlan plan{
        .seed = 6, .batch = 12, .world_size = 4, .samples_per_rank = std::string_view(mode) == "overlapping" ? 60 : 0};
    const Shards shards = make(mode, plan, labels);
    const auto first = by_rank(shards.order(0), plan), later = by_rank(shards.order(3), plan);
    for (std::size_t rank = 0; rank < 4; ++rank) {
      EXPECT_EQ(sorted(first[rank]) == sorted(later[rank]), std::string_view(mode) != "epoch") << mode << rank;
    }
  }
}

TEST(Shards, a_fixed_shard_is_as_large_as_its_rank_has_positions) {
  const std::vector<std::int32_t> labels = labels_of(103);
  const auto sizes = [&](const char* mode, int world) {
    std::vector<std::size_t> found;
    const Shards shards = make(mode, {.seed = 1, .batch = 10, .world_size = world}, labels);
    for (const Samples& shard : shards.of_ranks()) found.push_back(shard.size());
    return found;
  };
  for (const char* mode : {"fixed", "dirichlet:0.01"}) {
    EXPECT_THAT(sizes(mode, 3), testing::ElementsAre(41, 31, 31)) << mode;      // 10 * (4, 3, 3) + (1, 1, 1)
    EXPECT_THAT(sizes(mode, 4), testing::ElementsAre(31, 31, 21, 20)) << mode;  // 10 * (3, 3, 2, 2) + (1, 1, 1, 0)
  }
}

TEST(Shards, a_rank_may_be_left_without_samples) {
  const std::vector<std::int32_t> labels = labels_of(3);
  for (const char* mode : {"fixed", "dirichlet:1"}) {
    const Shards shards = make(mode, {.batch = 10, .world_size = 5}, labels);
    EXPECT_EQ(sorted(shards.order(0)), first_numbers(3)) << mode;
    EXPECT_TRUE(shards.of_ranks().back().empty());
  }
}

TEST(Shards, a_split_is_random_and_not_by_the_order_of_the_set) {
  const std::vector<std::int32_t> labels = labels_of(1000);
  const Shards shards = make("fixed", {.seed = 2, .batch = 100, .world_size = 2}, labels);
  const Samples& first = shards.of_ranks().front();
  // Uniform numbers below 1000: mean 499.5; of 500 without replacement the mean deviates by 9.1.
  EXPECT_NEAR(std::accumulate(first.begin(), first.end(), 0.0) / 500, 499.5, 5 * 9.1);
}

TEST(Shards, samples_per_rank_take_one_permutation_after_the_other) {
  const std::vector<std::int32_t> labels = labels_of(100);
  // Larger than the set: in 130 positions 30 samples come twice, and in 20 epochs each of them 26 times.
  const Shards more = make("epoch", {.seed = 8, .batch = 26, .world_size = 2, .samples_per_rank = 65}, labels);
  ASSERT_EQ(more.positions(), 130);
  // Smaller: an epoch repeats none, and ten epochs of 30 have every sample three times.
  const Shards less = make("epoch", {.seed = 8, .batch = 6, .world_size = 2, .samples_per_rank = 15}, labels);
  ASSERT_EQ(less.positions(), 30);
  const auto counts = [](const Shards& shards, int epochs) {
    std::map<std::int32_t, int> times;
    for (int epoch = 0; epoch < epochs; ++epoch) {
      for (const std::int32_t sample : shards.order(epoch)) ++times[sample];
    }
    std::map<int, int> samples;  // that came so many times
    for (const auto& [sample, count] : times) ++samples[count];
    return samples;
  };
  EXPECT_EQ(counts(more, 1), (std::map<int, int>{{1, 70}, {2, 30}}));
  EXPECT_EQ(counts(more, 20), (std::map<int, int>{{26, 100}}));
  EXPECT_EQ(counts(less, 1), (std::map<int, int>{{1, 30}}));
  EXPECT_EQ(counts(less, 10), (std::map<int, int>{{3, 100}}));
}

TEST(Shards, fixed_shards_of_samples_per_rank_stay_apart_while_the_set_suffices) {
  const std::vector<std::int32_t> labels = labels_of(100);
  const Shards shards = make("fixed", {.seed = 8, .batch = 10, .world_size = 2, .samples_per_rank = 40}, labels);
  EXPECT_EQ(common(shards.of_ranks()[0], shards.of_ranks()[1]), 0U);
  const std::set<std::int32_t> distinct = [&] {
    const Samples order = shards.order(0);
    return std::set<std::int32_t>(order.begin(), order.end());
  }();
  EXPECT_EQ(distinct.size(), 80U);
}

TEST(Shards, overlapping_shards_have_distinct_samples_and_share_what_chance_gives) {
  const std::vector<std::int32_t> labels = labels_of(5000);
  const ShardPlan plan{.seed = 9, .batch = 400, .world_size = 4, .samples_per_rank = 3000};
  const Shards shards = make("overlapping", plan, labels);
  ASSERT_EQ(shards.positions(), 12'000);
  for (const Samples& seen : by_rank(shards.order(1), plan)) {
    EXPECT_EQ(std::set<std::int32_t>(seen.begin(), seen.end()).size(), 3000U);
  }
  // Two draws of 3,000 of 5,000 have 1,800 in common; hypergeometric, deviation sqrt(3000 * .6 * .4 * 2000 / 4999)
  // = 17.
  for (std::size_t a = 0; a < 4; ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      EXPECT_NEAR(static_cast<double>(common(shards.of_ranks()[a], shards.of_ranks()[b])), 1800, 5 * 17) << a << b;
    }
  }
}

TEST(Shards, ranks_take_the_samples_that_they_share_in_orders_of_their_own) {
  const std::vector<std::int32_t> labels = labels_of(1000);
  const ShardPlan plan{.seed = 9, .batch = 200, .world_size = 2, .samples_per_rank = 1000};
  const auto seen = by_rank(make("overlapping", plan, labels).order(0), plan);
  ASSERT_EQ(sorted(seen[0]), sorted(seen[1]));
  std::size_t same = 0;
  for (std::size_t i = 0; i < 1000; ++i) same += seen[0][i] == seen[1][i] ? 1 : 0;
  EXPECT_LT(same, 10U);  // one expected by chance
}

// The share of a rank's commonest class, mean over the ranks: 0.1 where classes are spread evenly.
double skew(const Shards& shards, const std::vector<std::int32_t>& labels) {
  double sum = 0;
  for (const Samples& shard : shards.of_ranks()) {
    std::map<std::int32_t, double> counts;
    for (const std::int32_t sample : shard) ++counts[labels[static_cast<std::size_t>(sample)]];
    double most = 0;
    for (const auto& [label, count] : counts) most = std::max(most, count);
    sum += most / static_cast<double>(shard.size());
  }
  return sum / static_cast<double>(shards.of_ranks().size());
}

TEST(Shards, a_small_alpha_gives_ranks_few_classes_and_a_large_one_all_alike) {
  const std::vector<std::int32_t> labels = labels_of(10'000);
  const ShardPlan plan{.seed = 1, .batch = 100, .world_size = 10};
  const double small = skew(make("dirichlet:0.01", plan, labels), labels),
               medium = skew(make("dirichlet:5", plan, labels), labels),
               large = skew(make("dirichlet:100000", plan, labels), labels);
  EXPECT_GT(small, 0.5);
  EXPECT_LT(medium, small);
  EXPECT_GT(medium, large);
  // 1,000 draws of ten classes: the largest count is 115 on average, deviation below 10; the mean over ten ranks, 3.
  EXPECT_NEAR(large, 0.115, 5 * 0.003);
}

TEST(Shards, an_alpha_near_nothing_gives_each_rank_one_class_while_it_lasts) {
  const std::vector<std::int32_t> labels = labels_of(1000, 2);
  std::set<std::ptrdiff_t> found;                    // how many of class 1 a rank has
  for (std::uint64_t seed = 0; seed < 64; ++seed) {  // either class is wanted by both in some
    const Shards shards = make("dirichlet:1e-300", {.seed = seed, .batch = 10, .world_size = 2}, labels);
    EXPECT_EQ(sorted(shards.order(0)), first_numbers(1000));
    for (const Samples& shard : shards.of_ranks()) {
      ASSERT_EQ(shard.size(), 500U);
      found.insert(std::ranges::count_if(shard, [&](std::int32_t s) { return labels[static_cast<std::size_t>(s)]; }));
    }
  }
  // Where both ranks want the same class they take half of it each, and half of the other one.
  EXPECT_THAT(found, testing::ElementsAre(0, 250, 500));
}

TEST(Shards, seeds_split_the_set_in_other_ways) {
  const std::vector<std::int32_t> labels = labels_of(1000);
  for (const char* mode : {"fixed", "dirichlet:100", "overlapping"}) {
    const auto first_shard = [&](std::uint64_t seed) {
      return make(mode, {.seed = seed, .batch = 10, .world_size = 2, .samples_per_rank = 500}, labels)
          .of_ranks()
          .front();
    };
    // Two halves drawn apart have 250 in common; hypergeometric, deviation 7.9.
    EXPECT_NEAR(static_cast<double>(common(first_shard(1), first_shard(2))), 250, 5 * 7.9) << mode;
  }
}

TEST(Shards, samples_of_two_ranks_that_meet_in_one_step_part_in_the_next_epoch) {
  const std::vector<std::int32_t> labels = labels_of(1000);
  const ShardPlan plan{.seed = 1, .batch = 2, .world_size = 2};
  const Shards shards = make("fixed", plan, labels);
  const auto partners = [&](int epoch) {
    const auto seen = by_rank(shards.order(epoch), plan);
    std::set<std::pair<std::int32_t, std::int32_t>> pairs;
    for (std::size_t i = 0; i < 500; ++i) pairs.emplace(seen[0][i], seen[1][i]);
    return pairs;
  };
  std::size_t same = 0;
  const auto later = partners(1);
  for (const auto& pair : partners(0)) same += later.count(pair);
  EXPECT_LT(same, 10U);  // one expected by chance
}

TEST(Shards, classes_that_the_set_lacks_or_has_more_of_are_dealt_as_they_are) {
  std::vector<std::int32_t> labels(900, 2);
  labels.resize(1000, 5);  // classes 0, 1, 3 and 4 have no sample
  const Shards shards = make("dirichlet:100000", {.seed = 4, .batch = 10, .world_size = 2}, labels);
  EXPECT_EQ(sorted(shards.order(0)), first_numbers(1000));
  const auto rare = std::ranges::count_if(shards.of_ranks()[0],
                                          [&](std::int32_t s) { return labels[static_cast<std::size_t>(s)] == 5; });
  EXPECT_NEAR(static_cast<double>(rare), 50, 5 * 6.7);  // of 500 draws with 0.1, deviation 6.7
}

TEST(Dirichlet, mean_and_variance_are_those_of_the_distribution) {
  // Of Dirichlet(a) with sum s: mean a_i / s, variance a_i (s - a_i) / (s^2 (s + 1)). Shapes below 1 and above.
  const std::vector<double> shapes = {0.2, 0.8, 3.0, 0.0};
  constexpr int kDraws = 400'000;
  std::vector<double> sum(4), squares(4);
  for (int i = 0; i < kDraws; ++i) {
    const std::vector<double> drawn = draw_dirichlet(shapes, {.seed = 11, .epoch = static_cast<std::uint32_t>(i)});
    ASSERT_NEAR(std::accumulate(drawn.begin(), drawn.end(), 0.0), 1, 1e-12);
    for (std::size_t c = 0; c < 4; ++c) {
      sum[c] += drawn[c];
      squares[c] += drawn[c] * drawn[c];
    }
  }
  for (std::size_t c = 0; c < 4; ++c) {
    const double mean = sum[c] / kDraws, variance = squares[c] / kDraws - mean * mean;
    const double expected = shapes[c] / 4, expected_variance = shapes[c] * (4 - shapes[c]) / (16.0 * 5);
    EXPECT_NEAR(mean, expected, 5 * std::sqrt(expected_variance / kDraws)) << c;
    EXPECT_NEAR(variance, expected_variance, 0.029 * expected_variance) << c;  // kurtosis 14.3: 5 * sqrt(13.3 / 400000)
  }
}

TEST(Shards, mistakes_are_named) {
  EXPECT_EQ(refusal([] { Sharding::parse("dirichlet"); }), "dirichlet:ALPHA expected, 0 numbers found");
  EXPECT_EQ(refusal([] { Sharding::parse("dirichlet:0"); }), "dirichlet:ALPHA: ALPHA is a number above 0, 0 found");
  EXPECT_EQ(refusal([] { Sharding::parse("dirichlet:1x"); }), "dirichlet:ALPHA expected, '1x' found");
  EXPECT_EQ(refusal([] { Sharding::parse("fixed:2"); }), "fixed expected, 1 number found");
  EXPECT_THAT(refusal([] { Sharding::parse("halves"); }), HasSubstr("one of epoch|fixed|dirichlet:ALPHA|overlapping"));
  EXPECT_THAT(refusal([] { Sharding::parse("fixd"); }), HasSubstr("did you mean 'fixed'"));
  const std::vector<std::int32_t> labels = labels_of(100);
  EXPECT_THAT(refusal([&] { make("overlapping", {.batch = 2, .world_size = 2, .samples_per_rank = 101}, labels); }),
              HasSubstr("101 distinct samples a rank, but the training set has 100"));
  EXPECT_THAT(refusal([&] { make("epoch", {.batch = 2, .world_size = 64, .samples_per_rank = 50'000'000}, labels); }),
              HasSubstr("too many"));
}

}  // namespace
}  // namespace convoy
