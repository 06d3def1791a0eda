// Seconds since this process was started, loading of the executable included.
#pragma once

#include <chrono>

namespace convoy {

class ProcessClock {
 public:
  ProcessClock();  // at the start of main
  double seconds() const;

 private:
  double before_ = 0;  // seconds between the process's start and `start_`
  std::chrono::steady_clock::time_point start_;
};

}  // namespace convoy
