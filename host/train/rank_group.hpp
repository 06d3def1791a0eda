// Ranks that average among themselves: some or all of this worker's, and those of other workers behind a communicator.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "train/local_rank.hpp"

namespace convoy {

struct RankGroup {
  std::vector<LocalRank*> ranks;  // of this worker
  Communicator* workers = nullptr;
  std::shared_ptr<Communicator> owned;  // where it is not the world's
  std::size_t size = 1;                 // ranks, over all its workers
};

using RangeOf = std::function<float*(LocalRank&)>;

// `sum`, this worker's share of a sum over the group, becomes the mean.
void mean_of_sums(Backend& backend, const RankGroup& group, float* sum, std::size_t count);
// The first rank's range becomes the mean of all ranks'.
void mean_into_first(Backend& backend, const RankGroup& group, const RangeOf& range, std::size_t count);
// The first rank's range on all others of this worker.
void share_first(Backend& backend, const RankGroup& group, const RangeOf& range, std::size_t count);
// Both: every rank of the group holds the mean.
void average(Backend& backend, const RankGroup& group, const RangeOf& range, std::size_t count);

// The whole world as one group, and the nodes in it: consecutive ranks, `node_size` each (0: those of a host).
RankGroup world_group(Communicator& communicator, const std::vector<std::unique_ptr<LocalRank>>& ranks);
// All workers call it. Throws UsageError where a node would hold parts of several workers.
std::vector<RankGroup> node_groups(Communicator& communicator, const std::vector<std::unique_ptr<LocalRank>>& ranks,
                                   int node_size);

}  // namespace convoy
