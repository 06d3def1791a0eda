// What workers agree on while they work: all the same, at the same unit, soon, and seldom.
#include "train/accord.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

#include "support/thread_ranks.hpp"

namespace convoy {
namespace {

using std::chrono::milliseconds;

// The unit, from 1, after which each worker was first told to stop, if rank `asks` asks for it after unit `asked`.
std::vector<int> stops(int workers, int asks, int asked, milliseconds unit, int most_units = 200) {
  std::vector<int> found(static_cast<std::size_t>(workers));
  test::run_ranks(workers, [&](Communicator& communicator) {
    int now = 0;
    Accord accord(communicator,
                  [&] { return Requests{.stop_signal = communicator.rank() == asks && now >= asked ? SIGTERM : 0}; });
    while (++now <= most_units) {
      std::this_thread::sleep_for(unit);
      const Requests agreed = accord.after_work();
      if (agreed.stop_signal == 0) continue;
      EXPECT_EQ(agreed.stop_signal, SIGTERM);
      EXPECT_FALSE(agreed.checkpoint);
      found[static_cast<std::size_t>(communicator.rank())] = now;
      break;
    }
  });
  return found;
}

TEST(Accord, a_lone_worker_has_its_own_way_at_once) { EXPECT_EQ(stops(1, 0, 5, milliseconds(0)), std::vector{5}); }

TEST(Accord, all_stop_after_the_same_unit_whoever_asks) {
  for (const int asks : {0, 2}) {
    const std::vector<int> found = stops(3, asks, 40, milliseconds(1));
    EXPECT_EQ(found, std::vector(3, found.front()));
    EXPECT_GE(found.front(), 40);
    EXPECT_LE(found.front(), 40 + 2 * 16);  // two rounds of at most 16 units
  }
}

TEST(Accord, units_of_half_a_second_are_few_between_two_rounds) {
  const int stop = stops(2, 1, 4, milliseconds(550)).front();
  EXPECT_GE(stop, 4);
  EXPECT_LE(stop, 6);
}

TEST(Accord, of_units_longer_than_a_second_none_is_lost) { EXPECT_EQ(stops(2, 1, 3, milliseconds(1050)).front(), 3); }

TEST(Accord, short_units_are_not_asked_about_one_by_one) {
  std::atomic<int> questions = 0;
  constexpr int kUnits = 330;
  test::run_ranks(2, [&](Communicator& communicator) {
    Accord accord(communicator, [&] {
      if (communicator.rank() == 0) ++questions;
      return Requests{};
    });
    for (int unit = 0; unit < kUnits; ++unit) EXPECT_EQ(accord.after_work(), Requests{});
  });
  EXPECT_LE(questions, kUnits / 16 + 3);
  EXPECT_GE(questions, kUnits / 16 - 1);
}

TEST(Accord, a_checkpoint_is_asked_for_by_itself) {
  test::run_ranks(2, [&](Communicator& communicator) {
    Accord accord(communicator, [&] { return Requests{.checkpoint = communicator.rank() == 0}; });
    bool is_agreed = false;
    for (int unit = 0; unit < 40 && !is_agreed; ++unit) {
      const Requests agreed = accord.after_work();
      EXPECT_EQ(agreed.stop_signal, 0);
      is_agreed = agreed.checkpoint;
    }
    EXPECT_TRUE(is_agreed);
  });
}

TEST(Accord, sums_that_nobody_reads_do_no_harm) {
  test::run_ranks(2, [&](Communicator& communicator) {
    communicator.start_sum({1});
    EXPECT_EQ(communicator.start_sum({2, communicator.rank()}).get(), (std::vector<std::int64_t>{4, 1}));
  });
}

}  // namespace
}  // namespace convoy
