// Learning-rate schedules: by what a group's peak rate is multiplied at each optimizer step.
// Steps count from 0: `step` is the number of optimizer steps already taken, so step 0 is the first update and
// total_steps - 1 the last; a rate that falls to zero would reach it at step total_steps, which is never taken.
#pragma once

#include <cstdint>
#include <string_view>

namespace convoy {

// With T the last step (`until`, or the run's end), W the warm-up and x = (step - W) / (T - W):
// constant: 1
// linear: from 1 to `end`, 1 + (end - 1) x
// cosine: from 1 to `end`, end + (1 - end) (1 + cos(pi x)) / 2
// triangular: from `start` up to 1 at x = `peak`, then down to `end`, both linearly
struct Schedule {
  enum class Kind : std::uint8_t { constant, linear, cosine, triangular };
  Kind kind = Kind::constant;
  double start = 0;               // triangular: the factor at the first step
  double peak = 0.2;              // triangular: where the factor is 1, of the way from W to T
  double end = 0;                 // the factor that the last step would be followed by
  std::int64_t warmup_steps = 0;  // factor (step + 1) / warmup_steps before the schedule begins
  std::int64_t until = 0;         // step from which on the factor is 0 (the group stands still); 0: none
};

// The factor at optimizer step `step` of a run of total_steps.
double rate_factor(const Schedule& schedule, std::int64_t step, std::int64_t total_steps);

// "constant", "linear", "cosine" or "triangular"; any other word is a UsageError that lists them.
Schedule::Kind schedule_kind(std::string_view name);
std::string_view name(Schedule::Kind kind);

}  // namespace convoy
