// When a device has done what was enqueued on it, by a clock of its own.
#pragma once

#include <vector>

namespace convoy {

class DeviceTimer {
 public:
  DeviceTimer() = default;
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;
  virtual ~DeviceTimer() = default;

  // Notes the time at which everything enqueued so far is done. Enqueued itself; never waits.
  virtual void mark() = 0;
  // Seconds from each mark to the next, whose marks are then forgotten. Waits, once.
  virtual std::vector<double> intervals() = 0;
};

}  // namespace convoy
