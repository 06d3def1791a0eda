// One whole run: data, device, network, weights, training, evaluation, and the run folder that reports it.
#pragma once

#include "convoy/communicator.hpp"
#include "io/metrics.hpp"
#include "train/run_config.hpp"
#include "train/run_context.hpp"

namespace convoy {

// All workers of `communicator` call it, with the same configuration. Throws UsageError or Error before the first step
// where configuration, data or weights cannot work; the run's folder is made only after that. The caller gives a later
// failure to context.fail.
RunResults train(RunConfig config, Communicator& workers, RunContext& context);

}  // namespace convoy
