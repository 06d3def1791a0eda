// First the sum of this worker's ranks, then one collective over the workers, then the mean back to each.
#include "train/rank_group.hpp"

#include <algorithm>

#include "convoy/error.hpp"
#include "data/sampler.hpp"

namespace convoy {

void mean_over_group(Backend& backend, const RankGroup& group, FloatRange sum) {
  const float left = group.workers->average_and_join(sum, group.share());
  if (left != 1) backend.scale(sum.data, left, sum.count);
}

float average_into_first(Backend& backend, const RankGroup& group, const RangeOf& range) {
  const FloatRange sum = range(*group.ranks.front());
  for (std::size_t r = 1; r < group.ranks.size(); ++r) {
    backend.add_scaled(sum.data, 1, range(*group.ranks[r]).data, sum.count);
  }
  return group.workers->average_and_join(sum, group.share());
}

void share_first(Backend& backend, const RankGroup& group, const RangeOf& range) {
  const FloatRange first = range(*group.ranks.front());
  for (std::size_t r = 1; r < group.ranks.size(); ++r) {
    backend.copy(range(*group.ranks[r]).data, first.data, first.count * sizeof(float));
  }
}

std::optional<double> become_mean(Backend& backend, const RankGroup& group, Weights& weights, FloatRange range,
                                  float left, double* square) {
  if (left != 1) {
    weights.become_mean(range, left, square);
    return std::nullopt;
  }
  weights.touch();
  const auto count = static_cast<std::int64_t>(weights.layout().trainable_elements);
  const Share part = share_of(0, count, group.workers->rank(), group.workers->size());
  return backend.sum_of_squares(weights.data() + part.first, static_cast<std::size_t>(part.count));
}

RankGroup world_group(Communicator& communicator, const std::vector<std::unique_ptr<LocalRank>>& ranks) {
  RankGroup world;
  for (const auto& rank : ranks) world.ranks.push_back(rank.get());
  world.workers = &communicator;
  world.size = ranks.size() * static_cast<std::size_t>(communicator.size());
  return world;
}

std::vector<RankGroup> node_groups(Communicator& communicator, const std::vector<std::unique_ptr<LocalRank>>& ranks,
                                   int node_size) {
  const auto local = static_cast<int>(ranks.size());
  const bool is_within_worker = node_size > 0 && local % node_size == 0;
  const bool is_of_workers = node_size == 0 || node_size % local == 0;
  if (!is_within_worker && !is_of_workers) {
    fail_usage("--node-size {}: a worker's {} ranks must be a multiple or a divisor of it", node_size, local);
  }
  std::vector<RankGroup> nodes;
  const std::shared_ptr<Communicator> workers = is_within_worker ? make_self_communicator()
                                                : node_size == 0
                                                    ? communicator.split_by_host()
                                                    : communicator.split(communicator.rank() * local / node_size);
  const int ranks_of_node = is_within_worker ? node_size : local;
  for (int first = 0; first < local; first += ranks_of_node) {
    RankGroup node;
    for (int r = first; r < first + ranks_of_node; ++r) node.ranks.push_back(ranks[static_cast<std::size_t>(r)].get());
    node.owned = workers;
    node.workers = workers.get();
    node.size = node.ranks.size() * static_cast<std::size_t>(workers->size());
    nodes.push_back(std::move(node));
  }
  return nodes;
}

}  // namespace convoy
