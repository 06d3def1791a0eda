// Who is blamed, from tables of states and times: no process, no socket, no clock.
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "watchdog/judge.hpp"

namespace convoy::watchdog {
namespace {

constexpr Limits kLimits{.timeout = 60, .startup_timeout = 600};

RankState training(std::uint64_t collective, std::int64_t step) {
  return {.phase = Phase::training, .epoch = 1, .step = step, .collective = collective};
}

RankState waiting(std::uint64_t collective, std::int64_t step) {
  RankState state = training(collective, step);
  state.is_in_collective = true;
  return state;
}

// The host hands out work ahead, and its thread waits for the device without a word: what the device says of itself.
// Even positions: it computes; odd ones: it waits in a collective.
RankState on_device(std::uint64_t position, RankState host) {
  host.device_position = position;
  return host;
}

// Three ranks on node0, node1 and node2, and a clock that starts at 0.
class JudgeTest : public testing::Test {
 protected:
  JudgeTest() : JudgeTest(kLimits) {}
  explicit JudgeTest(const Limits& limits) : roll_(3, limits, 0) {
    for (int rank = 0; rank < 3; ++rank) roll_.join(rank, 1, "node" + std::to_string(rank), 0);
  }

  void hear(int rank, const RankState& state) { roll_.hear(rank, std::array{state}, now_); }
  // Every tick all ranks but `silent` say what they said before.
  std::optional<Verdict> pass(double seconds, int silent = -1) {
    for (const double end = now_ + seconds; now_ < end - kTick / 2;) {
      now_ += kTick;
      for (int rank = 0; rank < 3; ++rank)
        if (rank != silent) hear(rank, roll_.ranks()[static_cast<std::size_t>(rank)].state);
      if (auto verdict = roll_.tick(now_)) return verdict;
    }
    return std::nullopt;
  }
  std::string message_after(double seconds, int silent = -1) {
    const auto verdict = pass(seconds, silent);
    return verdict ? verdict->message : "";
  }

  double now_ = 0;
  Roll roll_;
};

TEST_F(JudgeTest, the_rank_that_the_others_wait_for_is_to_blame) {
  hear(0, waiting(341, 341));
  hear(1, waiting(341, 341));
  hear(2, training(340, 340));
  EXPECT_EQ(message_after(59.5), "");
  EXPECT_EQ(message_after(1),
            "rank 2 on node2 has not moved for 60 s: training, epoch 1, step 340 (the others wait in collective 341)");
}

TEST_F(JudgeTest, the_phase_averaging_is_waiting_too) {
  RankState averaging = training(341, 341);
  averaging.phase = Phase::averaging;
  hear(0, averaging);
  hear(1, averaging);
  hear(2, training(340, 340));
  EXPECT_EQ(pass(61)->rank, 2);
}

TEST_F(JudgeTest, of_several_that_stand_still_the_one_furthest_behind_is_to_blame) {
  hear(0, training(12, 48));  // stops first, say because it waits for rank 1 without a word
  pass(0.75);
  hear(1, training(11, 47));
  hear(2, training(12, 49));
  EXPECT_EQ(pass(61)->rank, 1);
}

// Work for a device is handed out ahead: the host of a rank that is stopped may be a step further than those that wait
// for it in what their devices do.
TEST_F(JudgeTest, of_several_that_stand_still_one_whose_process_is_stopped_is_to_blame) {
  hear(0, training(12, 48));
  hear(1, training(12, 49));
  hear(2, training(12, 48));
  EXPECT_EQ(message_after(61, 1),
            "rank 1 on node1 has not moved for 60 s: training, epoch 1, step 49, and its process is silent");
}

// Rank 0 was slow already when rank 1, which waited for it, was stopped; now rank 0's device waits for that of rank 1.
TEST_F(JudgeTest, nobody_is_blamed_while_a_process_is_silent_that_may_be_the_reason) {
  hear(0, training(12, 48));
  hear(1, waiting(13, 48));
  hear(2, training(12, 48));
  EXPECT_EQ(message_after(10), "");
  EXPECT_EQ(message_after(58.5, 1), "");
  EXPECT_EQ(message_after(1.5, 1),
            "rank 1 on node1 has not moved for 60 s: collective 13, epoch 1, step 48, and its process is silent");
}

TEST_F(JudgeTest, a_process_that_was_silent_for_a_moment_hides_nobody) {
  hear(0, training(12, 48));
  hear(1, waiting(13, 48));
  hear(2, waiting(13, 48));
  EXPECT_EQ(message_after(57), "");
  EXPECT_EQ(message_after(5, 1), "");
  EXPECT_EQ(pass(1)->rank, 0);
}

// A debugger, or SIGSTOP, held it: what it says first when it may go on is what it said last.
TEST_F(JudgeTest, the_time_of_a_silence_that_has_ended_does_not_count) {
  hear(0, waiting(13, 48));
  hear(1, training(12, 48));
  hear(2, waiting(13, 48));
  EXPECT_EQ(message_after(5), "");
  EXPECT_EQ(message_after(50, 1), "");
  EXPECT_EQ(message_after(54), "");
  EXPECT_EQ(pass(1.5)->rank, 1);
}

TEST_F(JudgeTest, ranks_equally_far_behind_are_all_named) {
  roll_.join(1, 2, "node1", 0);
  hear(0, waiting(9, 9));
  hear(1, training(8, 8));
  hear(2, training(8, 8));
  EXPECT_EQ(message_after(61),
            "ranks 1, 2 on node1 have not moved for 60 s: training, epoch 1, step 8 (another one waits in collective "
            "9)");
}

TEST_F(JudgeTest, who_waits_is_excused_while_another_rank_moves) {
  hear(0, waiting(5, 5));
  hear(1, waiting(5, 5));
  for (int step = 0; step < 300; ++step) {
    hear(2, training(4, step));
    EXPECT_FALSE(pass(1));
  }
}

TEST_F(JudgeTest, who_waits_for_a_rank_that_is_starting_has_its_time) {
  hear(0, waiting(1, 0));
  hear(1, waiting(1, 0));
  hear(2, {.phase = Phase::planning});
  EXPECT_EQ(message_after(599.5), "");
  EXPECT_EQ(message_after(1), "rank 2 on node2 has not moved for 600 s: planning (the others wait in collective 1)");
}

TEST_F(JudgeTest, the_first_steps_have_the_time_of_a_start) {
  hear(0, waiting(1, 1));
  hear(1, waiting(1, 1));
  hear(2, {.phase = Phase::first_steps, .epoch = 1, .step = 1});
  EXPECT_EQ(message_after(599.5), "");
  EXPECT_EQ(message_after(1),
            "rank 2 on node2 has not moved for 600 s: first steps, epoch 1, step 1 (the others wait in collective 1)");
}

TEST_F(JudgeTest, a_silent_rank_inside_a_collective_is_not_one_that_waits) {
  for (int rank = 0; rank < 3; ++rank) hear(rank, waiting(7, 7));
  EXPECT_EQ(message_after(61, 1),
            "rank 1 on node1 has not moved for 60 s: collective 7, epoch 1, step 7, and its process is silent (the "
            "others wait in collective 7)");
}

TEST_F(JudgeTest, collectives_that_do_not_match_blame_the_lowest) {
  hear(0, waiting(8, 8));
  hear(1, waiting(7, 7));
  hear(2, waiting(8, 8));
  EXPECT_EQ(message_after(61),
            "rank 1 on node1 has not moved for 60 s: collective 7, epoch 1, step 7 (the others wait in collective 8)");
}

TEST_F(JudgeTest, where_all_wait_in_one_collective_none_is_singled_out) {
  for (int rank = 0; rank < 3; ++rank) hear(rank, waiting(7, 7));
  EXPECT_EQ(message_after(61), "no rank has moved for 60 s: all are in collective 7, epoch 1, step 7");
}

TEST_F(JudgeTest, the_rank_whose_device_has_not_come_to_the_collective_of_the_others_is_to_blame) {
  hear(0, on_device(15, training(4, 8)));
  hear(1, on_device(14, training(4, 9)));  // its host is as far as the others', or further
  hear(2, on_device(15, training(4, 8)));
  EXPECT_EQ(message_after(59.5), "");
  EXPECT_EQ(message_after(1),
            "rank 1 on node1 has not moved for 60 s: training, epoch 1, step 9 (the devices of the others wait for it "
            "in a collective)");
}

// The hosts agree on something every few steps: some wait there for one whose thread waits for its device.
TEST_F(JudgeTest, a_device_that_hangs_is_told_from_those_that_wait_for_it_wherever_the_hosts_are) {
  hear(0, on_device(15, training(4, 8)));
  hear(1, on_device(14, waiting(5, 9)));
  hear(2, on_device(15, waiting(5, 9)));
  EXPECT_EQ(message_after(59.5), "");
  EXPECT_EQ(message_after(1),
            "rank 1 on node1 has not moved for 60 s: collective 5, epoch 1, step 9 (the devices of the others wait for "
            "it in a collective)");
}

TEST_F(JudgeTest, several_devices_that_hang_are_all_named) {
  hear(0, on_device(14, training(4, 8)));
  hear(1, on_device(14, training(4, 8)));
  hear(2, on_device(15, training(4, 8)));
  EXPECT_EQ(message_after(61),
            "ranks 0 on node0 and 1 on node1 have not moved for 60 s: training, epoch 1, step 8 (the device of another "
            "one waits for them in a collective)");
}

// Neither who is further behind on the host, nor who waits for nobody there.
TEST_F(JudgeTest, where_all_devices_are_in_one_collective_none_is_singled_out) {
  hear(0, on_device(15, training(4, 8)));
  hear(1, on_device(15, waiting(5, 9)));
  hear(2, on_device(15, training(4, 9)));
  EXPECT_EQ(message_after(59.5), "");
  EXPECT_EQ(
      message_after(1),
      "no rank has moved for 60 s: the devices of all are in one collective, which does not end (convoy preflight "
      "tests the links between them); rank 0 on node0 is in training, epoch 1, step 8");
}

TEST_F(JudgeTest, a_device_that_is_slow_but_moves_is_not_to_blame) {
  for (std::uint64_t step = 0; step < 5; ++step) {
    hear(0, on_device(2 * step + 1, training(4, 8)));  // handed out ahead: the hosts stand still
    hear(1, on_device(2 * step, training(4, 8)));
    hear(2, on_device(2 * step + 1, training(4, 8)));
    EXPECT_EQ(message_after(59), "");
  }
}

TEST_F(JudgeTest, a_host_that_hangs_while_the_devices_of_the_others_wait_is_to_blame) {
  hear(0, on_device(15, waiting(5, 9)));
  hear(1, on_device(14, training(4, 7)));  // its device has nothing to do
  hear(2, on_device(15, training(4, 8)));
  EXPECT_EQ(pass(61)->rank, 1);
}

TEST_F(JudgeTest, a_host_that_hangs_after_the_last_collective_of_the_devices_is_to_blame) {
  hear(0, on_device(14, waiting(5, 9)));
  hear(1, on_device(14, training(4, 9)));
  hear(2, on_device(14, waiting(5, 9)));
  EXPECT_EQ(message_after(61),
            "rank 1 on node1 has not moved for 60 s: training, epoch 1, step 9 (the others wait in collective 5)");
}

TEST_F(JudgeTest, a_process_that_is_stopped_comes_before_a_device_further_behind) {
  hear(0, on_device(14, training(4, 8)));
  hear(1, on_device(15, training(4, 8)));
  hear(2, on_device(15, training(4, 8)));
  EXPECT_EQ(pass(61, 2)->rank, 2);
}

TEST_F(JudgeTest, ranks_that_said_goodbye_or_have_finished_may_stand_still) {
  roll_.leave(0, 1, now_);
  hear(1, {.phase = Phase::finished});
  hear(2, {.phase = Phase::finished});
  EXPECT_FALSE(pass(1000));
}

// Its last collective has set the others free, whose reports are a moment older than its goodbye.
TEST_F(JudgeTest, a_rank_that_leaves_after_the_others_waited_long_for_it_ends_nothing) {
  hear(0, waiting(9, 9));
  hear(1, waiting(9, 9));
  for (int step = 0; step < 100; ++step) {
    hear(2, training(8, step));
    EXPECT_FALSE(pass(1));
  }
  roll_.leave(2, 1, now_);
  EXPECT_FALSE(pass(59.5));
  EXPECT_EQ(message_after(1), "no rank has moved for 60 s: all are in collective 9, epoch 1, step 9");
}

TEST_F(JudgeTest, a_rank_that_finishes_after_the_others_waited_long_for_it_ends_nothing) {
  hear(0, waiting(9, 9));
  hear(1, waiting(9, 9));
  for (int step = 0; step < 100; ++step) {
    hear(2, training(8, step));
    EXPECT_FALSE(pass(1));
  }
  hear(2, {.phase = Phase::finished});
  EXPECT_FALSE(pass(59));
}

TEST_F(JudgeTest, a_finished_rank_whose_host_vanishes_is_silent) {
  for (int rank = 0; rank < 3; ++rank) hear(rank, {.phase = Phase::finished});
  const auto verdict = pass(61, 2);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->kind, Verdict::Kind::silent);
  EXPECT_EQ(verdict->message, "rank 2 on node2 is silent for 60 s, last in finishing");
}

TEST_F(JudgeTest, silence_while_starting_does_not_wait_for_the_longer_limit) {
  for (int rank = 0; rank < 3; ++rank) hear(rank, {.phase = Phase::reading_data});
  EXPECT_EQ(message_after(61, 2), "rank 2 on node2 is silent for 60 s, last in reading data");
}

TEST_F(JudgeTest, time_in_which_nothing_ran_counts_for_nobody) {
  for (int rank = 0; rank < 3; ++rank) hear(rank, training(3, 3));
  EXPECT_FALSE(pass(59));
  now_ += 3600;  // the lid of the laptop
  EXPECT_FALSE(roll_.tick(now_));
  EXPECT_FALSE(pass(59, 2));  // rank 2 was suspended too, and comes late
  hear(2, training(4, 4));
  EXPECT_EQ(pass(2)->rank, 0);
}

TEST_F(JudgeTest, a_death_says_what_the_rank_was_doing) {
  hear(2, training(340, 340));
  EXPECT_EQ(death_of(roll_.ranks(2, 1)).message, "rank 2 on node2 died in training, epoch 1, step 340");
  hear(2, waiting(341, 340));
  EXPECT_EQ(death_of(roll_.ranks(2, 1)).message, "rank 2 on node2 died in collective 341, epoch 1, step 340");
  hear(2, {.phase = Phase::reading_data});
  EXPECT_EQ(death_of(roll_.ranks(2, 1)).message, "rank 2 on node2 died in reading data");
  EXPECT_EQ(death_of(roll_.ranks(1, 2)).message, "ranks 1 on node1 and 2 on node2 died in starting");
}

class ShortTimeoutTest : public JudgeTest {
 protected:
  ShortTimeoutTest() : JudgeTest({.timeout = 2, .startup_timeout = 600}) {}
};

TEST_F(ShortTimeoutTest, a_silence_of_less_than_ten_seconds_is_none) {
  for (int rank = 0; rank < 3; ++rank) hear(rank, {.phase = Phase::starting});
  EXPECT_EQ(message_after(9.5, 2), "");
  EXPECT_EQ(message_after(1, 2), "rank 2 on node2 is silent for 10 s, last in starting");
}

// Its last report is from before the first step, for which it had more time.
TEST_F(ShortTimeoutTest, a_rank_stopped_in_its_first_steps_is_named_for_its_silence) {
  hear(1, {.phase = Phase::planning, .collective = 13, .is_in_collective = true});
  pass(0.25);
  hear(0, training(14, 11));
  hear(2, training(14, 11));
  EXPECT_EQ(message_after(9.5, 1), "");
  EXPECT_EQ(message_after(1, 1), "rank 1 on node1 is silent for 10 s, last in collective 13");
}

TEST_F(ShortTimeoutTest, a_rank_stopped_inside_a_collective_a_moment_later_is_told_from_those_that_wait) {
  for (int rank = 0; rank < 3; ++rank) hear(rank, waiting(7, 7));
  EXPECT_FALSE(pass(0.5));
  EXPECT_EQ(message_after(2, 1),
            "rank 1 on node1 has not moved for 2 s: collective 7, epoch 1, step 7, and its process is silent (the "
            "others wait in collective 7)");
}

class NoTimeoutTest : public JudgeTest {
 protected:
  NoTimeoutTest() : JudgeTest({.timeout = 0, .startup_timeout = 0}) {}
};

TEST_F(NoTimeoutTest, zero_is_for_ever) {
  hear(0, training(3, 3));
  hear(1, waiting(4, 4));
  EXPECT_FALSE(pass(10000, 2));
}

// Rank 1's process never connected: it may be starting still.
TEST(UnknownRankTest, the_others_may_wait_for_it_as_long_as_for_a_start) {
  Roll roll(2, kLimits, 0);
  roll.join(0, 1, "node0", 0);
  double now = 0;
  const auto message_until = [&](double end) {
    for (; now < end; now += kTick) {
      roll.hear(0, std::array{waiting(2, 2)}, now);
      if (const auto verdict = roll.tick(now)) return verdict->message;
    }
    return std::string();
  };
  EXPECT_EQ(message_until(599.5), "");
  EXPECT_EQ(message_until(601),
            "rank 0 on node0 has not moved for 60 s: collective 2, epoch 1, step 2; not every rank could be watched");
}

TEST(NamesTest, a_large_job_is_named_in_one_readable_line) {
  Roll roll(12, kLimits, 0);
  roll.join(0, 12, "node0", 0);
  EXPECT_EQ(death_of(roll.ranks()).message, "ranks 0, 1, 2, 3, 4, 5, 6, 7 on node0 and 4 more died in starting");
}

}  // namespace
}  // namespace convoy::watchdog
