// See device_times.hpp.
#include "train/device_times.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>

#include "train/median.hpp"

namespace convoy {
namespace {

constexpr int kWarmUp = 2;            // a recording's first replay makes the calls, its second records them
constexpr double kLongEnough = 2e-3;  // seconds

// Of each call `count` intervals, one after the other.
std::vector<std::vector<double>> intervals_of(Backend& backend, int count, const std::vector<Call>& calls) {
  const std::unique_ptr<DeviceTimer> timer = backend.make_timer(static_cast<int>(calls.size()) * count + 1);
  timer->mark();
  for (const Call& call : calls) {
    for (int i = 0; i < count; ++i) {
      call();
      timer->mark();
    }
  }
  const std::vector<double> all = timer->intervals();
  std::vector<std::vector<double>> of_calls;
  for (auto next = all.begin(); next != all.end(); next += count) of_calls.emplace_back(next, next + count);
  return of_calls;
}

// How many of each make a row; they warm up at that.
std::vector<int> lengths_of_rows(Backend& backend, const std::vector<Call>& calls) {
  std::vector<int> in_row;
  for (const std::vector<double>& seconds : intervals_of(backend, kWarmUp, calls)) {
    in_row.push_back(calls_in_row(seconds.back()));
  }
  return in_row;
}

Call row_of(const Call& call, int in_row) {
  return [call, in_row] {
    for (int i = 0; i < in_row; ++i) call();
  };
}

}  // namespace

int calls_in_row(double seconds) {
  return static_cast<int>(std::clamp(kLongEnough / std::max(seconds, 1e-9), 1.0, double{kMostInRow}));
}

int most_calls(int count) { return kWarmUp + count * kMostInRow; }

std::vector<double> time_calls(Backend& backend, int count, const Call& call) {
  const int in_row = lengths_of_rows(backend, {call}).front();
  std::vector<double> seconds = intervals_of(backend, count, {row_of(call, in_row)}).front();
  for (double& one : seconds) one /= in_row;
  return seconds;
}

std::vector<double> time_recorded(Backend& backend, int count, const std::vector<Call>& calls) {
  const std::vector<int> in_row = lengths_of_rows(backend, calls);
  std::vector<std::unique_ptr<Recording>> recordings;
  std::vector<Call> rows;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    Recording& recording = *recordings.emplace_back(backend.record(StepKind::full, row_of(calls[i], in_row[i])));
    for (int replay = 0; replay < kWarmUp; ++replay) recording.replay();
    rows.emplace_back([&recording] { recording.replay(); });
  }
  const std::vector<std::vector<double>> seconds = intervals_of(backend, count, rows);
  std::vector<double> medians;
  for (std::size_t i = 0; i < calls.size(); ++i) medians.push_back(median(seconds[i]) / in_row[i]);
  return medians;
}

}  // namespace convoy
