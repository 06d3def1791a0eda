// The order of an epoch is a keyed permutation, the same on every machine; ranks divide batches without gap or overlap.
#include "data/sampler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <set>

#include "convoy/error.hpp"
#include "convoy/philox.hpp"

namespace convoy {
namespace {

std::vector<std::int32_t> order_by_definition(std::uint64_t seed, int epoch, std::size_t count) {
  std::vector<std::pair<std::uint64_t, std::int32_t>> keyed;
  for (std::size_t i = 0; i < count; ++i) {
    const Random4 bits = random_bits(seed, Purpose::permutation, static_cast<std::uint32_t>(epoch), i);
    keyed.emplace_back((std::uint64_t{bits.x} << 32) | bits.y, static_cast<std::int32_t>(i));
  }
  std::sort(keyed.begin(), keyed.end());
  std::vector<std::int32_t> order;
  for (const auto& [key, sample] : keyed) order.push_back(sample);
  return order;
}

TEST(Sampler, the_order_is_the_one_that_the_contract_defines) {
  for (const std::size_t count : {0u, 1u, 2u, 10u, 4096u, 50'000u}) {
    EXPECT_EQ(epoch_order(42, 3, count), order_by_definition(42, 3, count)) << count;
  }
}

TEST(Sampler, every_sample_comes_once_in_an_epoch) {
  std::vector<std::int32_t> order = epoch_order(1, 0, 10'007);
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size(); ++i) ASSERT_EQ(order[i], static_cast<std::int32_t>(i));
}

TEST(Sampler, the_first_samples_are_the_same_on_every_machine) {
  EXPECT_THAT(epoch_order(0, 0, 10), testing::ElementsAre(2, 4, 0, 8, 7, 5, 6, 3, 1, 9));
}

TEST(Sampler, epochs_and_seeds_give_unrelated_orders) {
  const auto first = epoch_order(5, 0, 1000);
  for (const auto& other : {epoch_order(5, 1, 1000), epoch_order(6, 0, 1000)}) {
    std::size_t same = 0;
    for (std::size_t i = 0; i < first.size(); ++i) same += first[i] == other[i] ? 1 : 0;
    EXPECT_LT(same, 10u);  // one expected by chance
  }
}

TEST(Sampler, a_sample_is_as_likely_early_as_late) {
  // Where sample 0 of 100 lands over 4,000 epochs: mean 49.5, standard error 0.46.
  double sum = 0;
  for (int epoch = 0; epoch < 4000; ++epoch) {
    const auto order = epoch_order(9, epoch, 100);
    sum += static_cast<double>(std::find(order.begin(), order.end(), 0) - order.begin());
  }
  EXPECT_NEAR(sum / 4000, 49.5, 5 * 0.46);
}

TEST(Shares, ranks_divide_a_batch_without_gap_or_overlap_and_evenly) {
  for (const std::int64_t count : {0, 1, 2, 7, 8, 9, 500, 2000, 2001}) {
    for (const int world : {1, 2, 3, 7, 8, 64}) {
      std::int64_t next = 1000, least = count, most = 0;
      for (int rank = 0; rank < world; ++rank) {
        const Share share = share_of(1000, count, rank, world);
        ASSERT_EQ(share.first, next) << count << " over " << world;
        next += share.count;
        least = std::min(least, share.count);
        most = std::max(most, share.count);
      }
      EXPECT_EQ(next, 1000 + count);
      EXPECT_LE(most - least, 1);
    }
  }
}

TEST(Shares, a_rank_may_be_left_without_samples) {
  EXPECT_EQ(share_of(10, 3, 2, 5), (Share{12, 1}));
  EXPECT_EQ(share_of(10, 3, 4, 5), (Share{13, 0}));
}

TEST(Shares, a_rank_outside_the_world_is_refused) {
  EXPECT_THROW(share_of(0, 10, 2, 2), Error);
  EXPECT_THROW(share_of(0, 10, -1, 2), Error);
  EXPECT_THROW(share_of(0, -1, 0, 2), Error);
}

}  // namespace
}  // namespace convoy
