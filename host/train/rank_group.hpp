// Ranks that average among themselves: some or all of this worker's, and those of other workers behind a communicator.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
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

  float share() const { return 1.0F / static_cast<float>(size); }  // of one rank in a mean
};

using RangeOf = std::function<FloatRange(LocalRank&)>;  // of one length on all ranks

// `sum`, this worker's share of a sum over the group, becomes the group's mean.
void mean_over_group(Backend& backend, const RankGroup& group, FloatRange sum);
// The first rank's range becomes the mean over all ranks, when it is multiplied by what this returns.
[[nodiscard]] float average_into_first(Backend& backend, const RankGroup& group, const RangeOf& range);
// The first rank's range on all others of this worker.
void share_first(Backend& backend, const RankGroup& group, const RangeOf& range);

// `range` of `weights`, times `left`, becomes the mean over the group. ||mean||^2 of the trainable ones lies in
// `square`, device memory, then; or, where nothing is left to multiply, this returns what the worker's part of them
// adds to it.
std::optional<double> become_mean(Backend& backend, const RankGroup& group, Weights& weights, FloatRange range,
                                  float left, double* square);

// The whole world as one group, and the nodes in it: consecutive ranks, `node_size` each (0: those of a host).
RankGroup world_group(Communicator& communicator, const std::vector<std::unique_ptr<LocalRank>>& ranks);
// All workers call it. Throws UsageError where a node would hold parts of several workers.
std::vector<RankGroup> node_groups(Communicator& communicator, const std::vector<std::unique_ptr<LocalRank>>& ranks,
                                   int node_size);

}  // namespace convoy
