// The ranks of a run: how many there are, and what the configuration becomes for so many.
#pragma once

#include <string>
#include <vector>

#include "train/run_config.hpp"

namespace convoy {

// `workers` workers hold `local` ranks each; worker w has the ranks w * local ... w * local + local - 1.
struct World {
  int workers = 1;
  int local = 1;
  int size() const { return workers * local; }
};

// The batch of so many ranks together.
int global_batch(const RunConfig& config, const World& world);

// Writes what is in force for so many ranks into `config`: the policy, the global batch, the rates and their warm-up;
// afterwards the configuration says the same for any number of ranks, but for shards. Throws UsageError where a batch
// has fewer samples than there are ranks, or samples_per_rank not the same for each. Returns lines for the user: what
// was decided and why.
std::vector<std::string> resolve_ranks(RunConfig& config, const World& world);

// Why the averaged model of such a run is as bad as it is, and what to do, for the end of the run; empty for most.
std::string advice_at_end(const RunConfig& config, const World& world);

}  // namespace convoy
