// One whole run: data, device, network, weights, training, evaluation, and the run folder that reports it.
#pragma once

#include "io/metrics.hpp"
#include "train/run_config.hpp"
#include "train/run_context.hpp"

namespace convoy {

// Throws UsageError or Error before the first step where configuration, data or weights cannot work; the run's folder
// is made only after that. The caller gives a later failure to context.fail.
RunResults train(RunConfig config, RunContext& context);

}  // namespace convoy
