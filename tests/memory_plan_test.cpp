// The planner of the activations' memory: nothing that lives at the same time shares a byte, and little is wasted.
#include "nn/memory_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "convoy/types.hpp"

namespace convoy {
namespace {

bool overlap(std::size_t a_first, std::size_t a_end, std::size_t b_first, std::size_t b_end) {
  return a_first < b_end && b_first < a_end;
}

// The most bytes alive at any one time: no plan can do with less.
std::size_t least_bytes(const std::vector<Lifetime>& buffers) {
  std::size_t most = 0;
  for (const Lifetime& moment : buffers) {  // the sum can only rise where a buffer begins
    std::size_t alive = 0;
    for (const Lifetime& buffer : buffers) {
      if (buffer.first <= moment.first && moment.first <= buffer.last) alive += align_up(buffer.bytes);
    }
    most = std::max(most, alive);
  }
  return most;
}

std::size_t sum_of_bytes(const std::vector<Lifetime>& buffers) {
  std::size_t sum = 0;
  for (const Lifetime& buffer : buffers) sum += align_up(buffer.bytes);
  return sum;
}

void expect_sound(const std::vector<Lifetime>& buffers, const MemoryPlan& plan) {
  ASSERT_EQ(plan.offsets.size(), buffers.size());
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    EXPECT_EQ(plan.offsets[i] % kAlignment, 0U);
    EXPECT_LE(plan.offsets[i] + buffers[i].bytes, plan.bytes);
    for (std::size_t j = 0; j < i; ++j) {
      const bool in_time = buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
      const bool in_memory = overlap(plan.offsets[i], plan.offsets[i] + buffers[i].bytes, plan.offsets[j],
                                     plan.offsets[j] + buffers[j].bytes);
      ASSERT_FALSE(in_time && in_memory) << "buffers " << j << " and " << i;
    }
  }
  EXPECT_GE(plan.bytes, least_bytes(buffers));
  EXPECT_LE(plan.bytes, sum_of_bytes(buffers));
}

std::vector<Lifetime> random_buffers(std::mt19937& random) {
  const auto below = [&](int limit) { return static_cast<int>(random() % static_cast<unsigned>(limit)); };
  const int times = 1 + below(30), longest = 1 + below(times);
  std::vector<Lifetime> buffers(static_cast<std::size_t>(below(40)));
  for (Lifetime& buffer : buffers) {
    buffer.bytes = below(8) == 0 ? 0 : below(4) == 0 ? 1024 : 1 + below(5000);  // equal sizes and none at all, too
    buffer.first = below(times);
    buffer.last = buffer.first + below(longest);
  }
  return buffers;
}

TEST(MemoryPlans, buffers_alive_together_share_no_byte_in_a_thousand_random_programs) {
  std::mt19937 random(1);
  for (int program = 0; program < 1000; ++program) {
    SCOPED_TRACE(program);
    const std::vector<Lifetime> buffers = random_buffers(random);
    expect_sound(buffers, plan_memory(buffers));
    if (testing::Test::HasFailure()) return;
  }
}

TEST(MemoryPlans, a_network_in_evaluation_needs_only_its_largest_pair_of_neighbours) {
  // A chain: each operation reads what the one before wrote.
  const std::vector<std::size_t> sizes = {1024, 8192, 4096, 4096, 2048, 512, 512, 256};
  std::vector<Lifetime> buffers;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    buffers.push_back({sizes[i], static_cast<int>(i), static_cast<int>(i) + 1});
  }
  EXPECT_EQ(plan_memory(buffers).bytes, 8192U + 4096U);
}

TEST(MemoryPlans, the_last_moment_of_a_buffer_still_belongs_to_it) {
  EXPECT_EQ(plan_memory({{256, 0, 3}, {256, 3, 5}}).bytes, 512U);
  EXPECT_EQ(plan_memory({{256, 0, 2}, {256, 3, 5}}).bytes, 256U);
}

TEST(MemoryPlans, the_lowest_gap_that_fits_is_taken) {
  // The three large ones are stacked; the second ends early and leaves a gap for two small ones.
  const MemoryPlan plan = plan_memory({{3000, 0, 9}, {2000, 0, 4}, {1500, 0, 9}, {1000, 5, 9}, {900, 5, 9}});
  EXPECT_EQ(plan.offsets[1], align_up(3000));
  EXPECT_EQ(plan.offsets[3], plan.offsets[1]);
  EXPECT_EQ(plan.offsets[4], plan.offsets[3] + align_up(1000));
  EXPECT_EQ(plan.bytes, align_up(3000) + align_up(2000) + align_up(1500));
}

TEST(MemoryPlans, nothing_needs_nothing) {
  EXPECT_EQ(plan_memory({}).bytes, 0U);
  EXPECT_EQ(plan_memory({{0, 0, 5}, {0, 0, 5}}).bytes, 0U);
}

}  // namespace
}  // namespace convoy
