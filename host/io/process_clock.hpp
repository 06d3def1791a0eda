// Seconds since this process was started, loading of the executable included; of a later run in the same process, since
// the one before ended.
#pragma once

#include <chrono>

namespace convoy {

class ProcessClock {
 public:
  ProcessClock();  // at the start of main
  void restart();
  double seconds() const;

 private:
  double before_ = 0;  // seconds between the process's start and `start_`
  std::chrono::steady_clock::time_point start_;
};

}  // namespace convoy
