// Each schedule at its ends and in between, warm-up, and groups that stop early.
#include "nn/schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "convoy/error.hpp"

namespace convoy {
namespace {

using Kind = Schedule::Kind;

TEST(Schedules, constant_is_one_at_every_step) {
  for (std::int64_t step : {0, 1, 99, 100}) EXPECT_EQ(rate_factor({}, step, 100), 1.0);
}

// airbench94: rate * (1 - step / total_steps), step counted from 0.
TEST(Schedules, linear_falls_from_one_and_would_be_zero_after_the_last_step) {
  const Schedule schedule{.kind = Kind::linear};
  for (std::int64_t step = 0; step < 200; ++step) {
    EXPECT_NEAR(rate_factor(schedule, step, 200), 1.0 - static_cast<double>(step) / 200, 1e-15);
  }
  EXPECT_EQ(rate_factor(schedule, 200, 200), 0.0);
}

TEST(Schedules, linear_ends_at_the_given_fraction_and_stays_there) {
  const Schedule schedule{.kind = Kind::linear, .end = 0.1};
  EXPECT_EQ(rate_factor(schedule, 0, 10), 1.0);
  EXPECT_NEAR(rate_factor(schedule, 5, 10), 0.55, 1e-15);
  EXPECT_NEAR(rate_factor(schedule, 10, 10), 0.1, 1e-15);
  EXPECT_NEAR(rate_factor(schedule, 1000, 10), 0.1, 1e-15);
}

// torch.optim.lr_scheduler.CosineAnnealingLR: eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2.
TEST(Schedules, cosine_is_pytorchs_annealing) {
  const Schedule schedule{.kind = Kind::cosine, .end = 0.2};
  for (std::int64_t step = 0; step <= 12; ++step) {
    const double expected = 0.2 + 0.8 * (1 + std::cos(std::numbers::pi * static_cast<double>(step) / 12)) / 2;
    EXPECT_NEAR(rate_factor(schedule, step, 12), expected, 1e-15);
  }
}

TEST(Schedules, triangular_rises_to_one_at_the_peak_and_falls_to_the_end) {
  const Schedule schedule{.kind = Kind::triangular, .start = 0.2, .peak = 0.25, .end = 0.1};
  EXPECT_NEAR(rate_factor(schedule, 0, 100), 0.2, 1e-15);
  EXPECT_NEAR(rate_factor(schedule, 10, 100), 0.2 + 0.8 * 10 / 25, 1e-15);
  EXPECT_NEAR(rate_factor(schedule, 25, 100), 1.0, 1e-15);
  EXPECT_NEAR(rate_factor(schedule, 40, 100), 1.0 - 0.9 * 15 / 75, 1e-15);
  EXPECT_NEAR(rate_factor(schedule, 100, 100), 0.1, 1e-15);
}

TEST(Schedules, triangular_takes_a_peak_at_either_end) {
  EXPECT_EQ(rate_factor({.kind = Kind::triangular, .peak = 0}, 0, 10), 1.0);
  EXPECT_EQ(rate_factor({.kind = Kind::triangular, .peak = 1}, 10, 10), 1.0);
}

TEST(Schedules, warmup_rises_linearly_and_never_starts_at_zero) {
  for (Kind kind : {Kind::constant, Kind::linear, Kind::cosine}) {
    const Schedule schedule{.kind = kind, .warmup_steps = 4};
    EXPECT_EQ(rate_factor(schedule, 0, 24), 0.25);
    EXPECT_EQ(rate_factor(schedule, 2, 24), 0.75);
    EXPECT_EQ(rate_factor(schedule, 3, 24), 1.0);
    EXPECT_EQ(rate_factor(schedule, 4, 24), 1.0) << "the schedule itself begins after the warm-up";
  }
  EXPECT_NEAR(rate_factor({.kind = Kind::linear, .warmup_steps = 4}, 14, 24), 0.5, 1e-15);
}

TEST(Schedules, a_warmup_longer_than_the_run_is_all_there_is) {
  EXPECT_EQ(rate_factor({.kind = Kind::linear, .warmup_steps = 10}, 4, 5), 0.5);
}

// airbench94's whitening bias: 3 of 8 epochs of 25 steps.
TEST(Schedules, a_group_with_an_end_of_its_own_reaches_zero_there_and_stands_still) {
  const Schedule schedule{.kind = Kind::linear, .until = 75};
  EXPECT_EQ(rate_factor(schedule, 0, 200), 1.0);
  EXPECT_NEAR(rate_factor(schedule, 30, 200), 1.0 - 30.0 / 75, 1e-15);
  EXPECT_EQ(rate_factor(schedule, 75, 200), 0.0);
  EXPECT_EQ(rate_factor(schedule, 199, 200), 0.0);
  EXPECT_EQ(rate_factor({.kind = Kind::constant, .until = 75}, 74, 200), 1.0);
  EXPECT_EQ(rate_factor({.kind = Kind::constant, .until = 75}, 75, 200), 0.0);
}

TEST(Schedules, names_go_both_ways_and_an_unknown_one_lists_the_known) {
  for (Kind kind : {Kind::constant, Kind::linear, Kind::cosine, Kind::triangular}) {
    EXPECT_EQ(schedule_kind(name(kind)), kind);
  }
  try {
    schedule_kind("exponential");
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "schedule 'exponential' is unknown: use one of constant, linear, cosine, triangular");
  }
}

}  // namespace
}  // namespace convoy
