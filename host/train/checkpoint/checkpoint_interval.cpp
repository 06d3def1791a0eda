#include "train/checkpoint/checkpoint_interval.hpp"

#include <charconv>

#include "convoy/error.hpp"

namespace convoy {
namespace {

constexpr std::int64_t kMost = 1'000'000'000'000;

double seconds_of(char unit) { return unit == 's' ? 1 : unit == 'm' ? 60 : unit == 'h' ? 3600 : 0; }

}  // namespace

CheckpointInterval CheckpointInterval::parse(std::string_view text) {
  std::int64_t count = 0;
  const char* end = text.data() + text.size();
  const std::from_chars_result read = std::from_chars(text.data(), end, count);
  const std::string_view unit(read.ptr, static_cast<std::size_t>(end - read.ptr));
  const bool is_count = read.ec == std::errc{} && count >= 0 && count <= kMost;
  if (is_count && unit.empty()) return {.steps = count};
  const double seconds = unit.size() == 1 ? seconds_of(unit.front()) : 0;
  if (!is_count || seconds == 0) {
    fail_usage("a number of steps, or a time such as 90s, 5m or 2h, expected, '{}' found", text);
  }
  return {.seconds = static_cast<double>(count) * seconds};
}

}  // namespace convoy
