// See device_timer.hpp.
#include "cpu/device_timer.hpp"

#include <chrono>
#include <cstddef>

namespace convoy::cpu {
namespace {

class ClockTimer final : public DeviceTimer {
 public:
  explicit ClockTimer(int marks) { times_.reserve(static_cast<std::size_t>(marks)); }

  void mark() override { times_.push_back(std::chrono::steady_clock::now()); }

  std::vector<double> intervals() override {
    std::vector<double> seconds;
    for (std::size_t i = 1; i < times_.size(); ++i) {
      seconds.push_back(std::chrono::duration<double>(times_[i] - times_[i - 1]).count());
    }
    times_.clear();
    return seconds;
  }

 private:
  std::vector<std::chrono::steady_clock::time_point> times_;
};

}  // namespace

std::unique_ptr<DeviceTimer> make_timer(int marks) { return std::make_unique<ClockTimer>(marks); }

}  // namespace convoy::cpu
