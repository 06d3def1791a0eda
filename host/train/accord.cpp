// A sum of counts: how many workers ask for what. Worker 0 says how often.
#include "train/accord.hpp"

#include <algorithm>
#include <utility>

#include "io/stop_signals.hpp"

namespace convoy {
namespace {

constexpr double kRoundSeconds = 1;  // what is asked for is known after at most two rounds
constexpr int kMostUnits = 16;

int chosen_interval(double seconds_per_unit) {
  if (seconds_per_unit > kRoundSeconds) return 0;
  return static_cast<int>(std::min(kRoundSeconds / std::max(seconds_per_unit, 1e-9), double{kMostUnits}));
}

}  // namespace

Accord::Accord(Communicator& communicator, std::function<Requests()> own_requests)
    : communicator_(communicator), own_requests_(std::move(own_requests)) {}

Requests Accord::after_work() {
  if (communicator_.size() == 1) return own_requests_();
  if (++units_ < interval_) return {};
  Requests agreed;
  if (pending_.valid()) agreed = read(pending_.get());
  pending_ = communicator_.start_sum(own_values());
  if (interval_ == 0) agreed = read(pending_.get());
  units_ = 0;
  return agreed;
}

// One count for each signal, one for checkpoints, and the interval, which worker 0 alone fills in.
Accord::Values Accord::own_values() {
  const Requests own = own_requests_();
  Values values;
  for (const int signal : kStopSignals) values.push_back(own.stop_signal == signal ? 1 : 0);
  values.push_back(own.checkpoint ? 1 : 0);
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - std::exchange(asked_, now)).count();
  values.push_back(communicator_.rank() == 0 ? chosen_interval(seconds / units_) : 0);
  return values;
}

Requests Accord::read(const Values& sums) {
  Requests agreed;
  for (std::size_t i = 0; i < kStopSignals.size(); ++i) {
    if (sums[i] > 0) agreed.stop_signal = kStopSignals[i];
  }
  agreed.checkpoint = sums[kStopSignals.size()] > 0;
  interval_ = static_cast<int>(sums.back());
  return agreed;
}

}  // namespace convoy
