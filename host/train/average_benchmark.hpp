// What averaging a network's weights over the workers takes: beside the library's bare all-reduce of as many bytes, and
// beside a training step.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "train/run_config.hpp"
#include "watchdog/progress.hpp"

namespace convoy {

// Medians of the timed rounds, in seconds, as this worker saw them.
struct AverageTimes {
  struct Size {
    std::size_t bytes = 0;
    double average = 0, bare = 0;  // collective and division by the number of workers; the collective alone
  };

  std::string network;
  int workers = 0;
  bool in_shared_memory = false;  // of the workers, who need no library to sum there
  std::vector<Size> sizes;        // rising, from one number to all that an average of the weights takes in
  int images = 0;                 // of this worker's step
  double step = 0;
  double check = 0;    // the norms that are taken and agreed on before an average
  double refresh = 0;  // of the compute copies that the division has not made, by the next step

  const Size& smallest() const { return sizes.front(); }
  const Size& whole() const { return sizes.back(); }
  double added_to_step() const { return whole().average + check + refresh; }
  double share_of_step() const { return added_to_step() / step; }
};

// Bytes that each link carried a second, as nccl-tests counts them: a ring sends 2 (N - 1) / N of the bytes over each.
double bus_bytes_per_second(std::size_t bytes, double seconds, int workers);

// All workers call it, `communicator` being what averages weights; a step's batch is shared among them as in a
// training. What is compared is timed in turn, `rounds` times, so that what else the machine does meets all of it.
AverageTimes measure_average(Backend& backend, Communicator& communicator, const RunConfig& config, int rounds,
                             RankProgress& progress);

}  // namespace convoy
