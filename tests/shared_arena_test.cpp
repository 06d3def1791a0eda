// Sums over ranks in memory that they share; here threads are the ranks, which map their own process's.
// needs: oneDNN
#include "mpi/shared_arena.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "cpu/backend.hpp"
#include "support/thread_ranks.hpp"

namespace convoy {
namespace {

// Different on every rank, and such that the order of a sum shows in its last bits.
float value(int rank, std::size_t i) { return 1.0F / static_cast<float>(3 + rank * 17 + static_cast<int>(i % 1000)); }

std::vector<float> fill(const Arena& arena, int rank) {
  std::vector<float> values(arena.bytes() / sizeof(float));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(rank, i);
  std::copy(values.begin(), values.end(), arena.floats());
  return values;
}

float sum_in_order(int ranks, std::size_t i) {
  float sum = value(0, i);
  for (int rank = 1; rank < ranks; ++rank) sum += value(rank, i);
  return sum;
}

class SharedArenaOf : public testing::TestWithParam<int> {};

TEST_P(SharedArenaOf, ranks_sums_in_their_order_to_the_bit_and_nothing_beside_the_range) {
  const int ranks = GetParam();
  for (const std::size_t count : {1, 15, 1000, 70001}) {
    for (const std::size_t offset : {0, 1, 37}) {
      test::run_ranks(ranks, [&](Communicator& group) {
        const auto backend = make_cpu_backend({});
        const Arena arena = backend->allocate((count + offset + 5) * sizeof(float), "summed", Communicated::yes);
        const std::vector<float> before = fill(arena, group.rank());
        const auto shared = SharedArena::make(arena, group, true);
        ASSERT_NE(shared, nullptr);
        shared->sum({arena.floats() + offset, count}, 0.3F);
        for (std::size_t i = 0; i < before.size(); ++i) {
          const bool is_summed = offset <= i && i < offset + count;
          ASSERT_EQ(arena.floats()[i], is_summed ? 0.3F * sum_in_order(ranks, i) : before[i])
              << i << " of " << before.size();
        }
      });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(of, SharedArenaOf, testing::Values(1, 2, 3, 8), testing::PrintToStringParamName());

// Without a meeting at both ends, a sum would read what another rank has not written, or has changed already.
TEST(SharedArena, waits_for_the_slowest_rank_again_and_again) {
  constexpr int kRanks = 4, kSums = 200;
  constexpr std::size_t kCount = 5000;
  test::run_ranks(kRanks, [&](Communicator& group) {
    const auto backend = make_cpu_backend({});
    const Arena arena = backend->allocate(kCount * sizeof(float), "summed", Communicated::yes);
    const auto shared = SharedArena::make(arena, group, true);
    ASSERT_NE(shared, nullptr);
    for (int k = 0; k < kSums; ++k) {
      if (k % kRanks == group.rank()) std::this_thread::sleep_for(std::chrono::microseconds(200));
      std::fill_n(arena.floats(), kCount, static_cast<float>(k + group.rank()));
      shared->sum({arena.floats(), kCount}, 1);
      const auto sum = static_cast<float>(kRanks * k + 0 + 1 + 2 + 3);
      for (std::size_t i = 0; i < kCount; ++i) ASSERT_EQ(arena.floats()[i], sum) << "sum " << k;
    }
  });
}

// An arena that lies beside others in the heap, and one of pages of 2 MB.
TEST(SharedArena, leaves_the_arena_its_own_with_what_it_held) {
  for (const std::size_t bytes : {std::size_t{3000} * 4, std::size_t{3} << 20}) {
    std::atomic<int> changed = 0;
    test::run_ranks(2, [&](Communicator& group) {
      const auto backend = make_cpu_backend({});
      const Arena before = backend->allocate(bytes, "before", Communicated::yes);
      const Arena arena = backend->allocate(bytes, "shared", Communicated::yes);
      const Arena after = backend->allocate(bytes, "after", Communicated::yes);
      for (const Arena* each : {&before, &arena, &after}) fill(*each, group.rank());
      std::unique_ptr<SharedArena> shared = SharedArena::make(arena, group, true);
      ASSERT_NE(shared, nullptr);
      float* const mine = arena.floats();
      mine[1] = 5;
      shared.reset();
      EXPECT_EQ(mine[1], 5);
      mine[1] = value(group.rank(), 1);
      for (const Arena* each : {&before, &arena, &after}) {
        for (std::size_t i = 0; i < bytes / sizeof(float); ++i) ASSERT_EQ(each->floats()[i], value(group.rank(), i));
      }
      ++changed;
    });
    EXPECT_EQ(changed, 2);
  }
}

TEST(SharedArena, is_shared_by_all_ranks_or_by_none) {
  test::run_ranks(3, [&](Communicator& group) {
    const auto backend = make_cpu_backend({});
    const Arena arena = backend->allocate(4000, "summed", Communicated::yes);
    const std::vector<float> before = fill(arena, group.rank());
    EXPECT_EQ(SharedArena::make(arena, group, group.rank() != 1), nullptr);
    EXPECT_EQ(std::vector<float>(arena.floats(), arena.floats() + before.size()), before);
  });
}

TEST(SharedArena, knows_which_ranges_it_holds) {
  test::run_ranks(2, [&](Communicator& group) {
    const auto backend = make_cpu_backend({});
    const Arena arena = backend->allocate(4096, "summed", Communicated::yes);
    const auto shared = SharedArena::make(arena, group, true);
    ASSERT_NE(shared, nullptr);
    EXPECT_TRUE(shared->holds({arena.floats(), 1024}));
    EXPECT_TRUE(shared->holds({arena.floats() + 1023, 1}));
    std::vector<float> other(16);
    EXPECT_FALSE(shared->holds({other.data(), 16}));
    EXPECT_FALSE(shared->holds({arena.floats() - 1, 2}));
  });
}

TEST(SharedMemory, of_a_process_that_has_no_such_file_or_a_smaller_one_is_not_had) {
  const auto memory = SharedMemory::create(4096);
  ASSERT_TRUE(memory);
  EXPECT_TRUE(SharedMemory::of_process(::getpid(), memory->file(), 4096));
  EXPECT_FALSE(SharedMemory::of_process(::getpid(), memory->file(), 8192));
  EXPECT_FALSE(SharedMemory::of_process(::getpid(), 987654, 4096));
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_FALSE(SharedMemory::of_process(::getpid(), ends[0], 1)) << "a pipe";
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace convoy
