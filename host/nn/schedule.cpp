// The shapes of the learning-rate schedules as a table: name and function of the way x in [0, 1].
#include "nn/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "convoy/error.hpp"

namespace convoy {
namespace {

double constant(const Schedule&, double) { return 1; }

double linear(const Schedule& schedule, double x) { return 1 + (schedule.end - 1) * x; }

double cosine(const Schedule& schedule, double x) {
  return schedule.end + (1 - schedule.end) * (1 + std::cos(std::numbers::pi * x)) / 2;
}

double triangular(const Schedule& schedule, double x) {
  if (x < schedule.peak) return schedule.start + (1 - schedule.start) * x / schedule.peak;
  if (schedule.peak >= 1) return 1;
  return 1 + (schedule.end - 1) * (x - schedule.peak) / (1 - schedule.peak);
}

struct Shape {
  Schedule::Kind kind;
  std::string_view name;
  double (*factor)(const Schedule&, double x);
};

constexpr Shape kShapes[] = {
    {Schedule::Kind::constant, "constant", constant},
    {Schedule::Kind::linear, "linear", linear},
    {Schedule::Kind::cosine, "cosine", cosine},
    {Schedule::Kind::triangular, "triangular", triangular},
};

const Shape& shape_of(Schedule::Kind kind) {
  for (const Shape& shape : kShapes) {
    if (shape.kind == kind) return shape;
  }
  fail("learning-rate schedule {}: no such kind", static_cast<int>(kind));
}

}  // namespace

double rate_factor(const Schedule& schedule, std::int64_t step, std::int64_t total_steps) {
  if (schedule.until > 0 && step >= schedule.until) return 0;
  if (step < schedule.warmup_steps) {
    return static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  }
  const std::int64_t last = schedule.until > 0 ? schedule.until : total_steps;
  const std::int64_t length = last - schedule.warmup_steps;
  const double x = length > 0 ? static_cast<double>(step - schedule.warmup_steps) / static_cast<double>(length) : 1.0;
  return shape_of(schedule.kind).factor(schedule, std::clamp(x, 0.0, 1.0));
}

Schedule::Kind schedule_kind(std::string_view name) {
  std::string known;
  for (const Shape& shape : kShapes) {
    if (shape.name == name) return shape.kind;
    known += (known.empty() ? "" : ", ") + std::string(shape.name);
  }
  fail_usage("schedule '{}' is unknown: use one of {}", name, known);
}

std::string_view name(Schedule::Kind kind) { return shape_of(kind).name; }

}  // namespace convoy
