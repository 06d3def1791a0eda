// Whole runs: device, data, network, weights, training, evaluation, and the run folder that reports it; several that
// differ by their seed one after the other (--repeat).
#pragma once

#include <vector>

#include "convoy/communicator.hpp"
#include "io/metrics.hpp"
#include "train/run_config.hpp"
#include "train/run_context.hpp"

namespace convoy {

// All workers of `communicator` call it, with the same configuration. Throws UsageError or Error before the first step
// where configuration, data or weights cannot work; the run's folder is made only after that. The caller gives a later
// failure to context.fail.
RunResults train(const RunConfig& config, Communicator& workers, RunContext& context);

// The same for `runs`, all or some of runs_of(config), with data and plans made once; a table at the end of a series.
// Returns the signal that stopped them, or 0.
int train_all(const RunConfig& config, const std::vector<RunConfig>& runs, Communicator& workers, RunContext& context);

}  // namespace convoy
