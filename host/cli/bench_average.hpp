// What averaging a network's weights over the workers takes, beside the bare MPI_Allreduce of as many bytes.
#pragma once

#include "train/run_config.hpp"

namespace convoy {

// Prints on the first worker. Throws UsageError where there is only one.
void bench_average(RunConfig config, int repetitions);

}  // namespace convoy
