// What averaging a network's weights over the workers takes, beside the bare MPI_Allreduce of as many bytes.
#pragma once

#include "train/run_config.hpp"

namespace convoy {

// Prints on the first worker, as text or as a line of JSON. Throws UsageError where there is only one.
void bench_average(RunConfig config, int repetitions, bool as_json);

}  // namespace convoy
