// What the workers of a run agree on while they work, without waiting for each other: every few units of work each says
// what it asks for, and reads what all asked for the time before. So all of them stop after the same step.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <vector>

#include "convoy/communicator.hpp"

namespace convoy {

struct Requests {
  int stop_signal = 0;      // one of kStopSignals, or 0
  bool checkpoint = false;  // a checkpoint is due
  bool operator==(const Requests&) const = default;
};

class Accord {
 public:
  // own_requests: what this worker asks for, now; it goes on asking until it has what it asked for.
  Accord(Communicator& communicator, std::function<Requests()> own_requests);

  // A unit of work, a step or a batch of an evaluation, is done. Every worker calls it equally often; all get the same
  // answer: what any of them asked for. That takes about two seconds, or one unit where that is longer.
  Requests after_work();

 private:
  using Values = std::vector<std::int64_t>;
  Values own_values();
  Requests read(const Values& sums);

  Communicator& communicator_;
  std::function<Requests()> own_requests_;
  std::future<Values> pending_;  // of the last time
  int interval_ = 1;             // units between two times; 0: after every unit, and everyone waits for the answer
  int units_ = 0;                // since the last time
  std::chrono::steady_clock::time_point asked_ = std::chrono::steady_clock::now();
};

}  // namespace convoy
