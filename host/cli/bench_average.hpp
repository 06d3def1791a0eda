// What averaging a network's weights over the workers takes, beside the bare all-reduce of the library that does it,
// the links between the workers, and a training step.
#pragma once

#include "cli/command.hpp"
#include "train/run_config.hpp"

namespace convoy {

// Prints on the first worker, as text or as a line of JSON; the exit code. Throws UsageError where there is only one.
int bench_average(const RunConfig& config, const CommandContext& command, int repetitions, bool as_json);

}  // namespace convoy
