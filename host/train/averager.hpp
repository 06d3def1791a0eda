// Averages gradients or weights over the ranks of a run, those of this worker and those elsewhere, as the policy says.
// A world of W workers with L ranks each has W * L ranks; worker w holds w * L ... w * L + L - 1.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "train/averaging_policy.hpp"
#include "train/local_rank.hpp"

namespace convoy {

class Averager {
 public:
  // `ranks` and the rest outlive it. Layouts are equal on all ranks.
  Averager(Backend& backend, Communicator& communicator, const AveragingPolicy& policy,
           std::vector<std::unique_ptr<LocalRank>>& ranks);

  // One step of every local rank, with what the policy exchanges in it.
  void step(std::int64_t step);

  // The mean over all ranks, in memory of its own: what is evaluated and saved. Changes no bit of training.
  const Weights& averaged();

  // ||w_r - mean|| / ||mean||, root mean square over the ranks, before the last averaging of weights.
  std::optional<double> distance() const { return distance_; }

 private:
  void mean_into_first(const std::vector<float*>& ranges, std::size_t count);
  void average(const std::vector<float*>& ranges, std::size_t count);
  void average_weights();

  Backend& backend_;
  Communicator& communicator_;
  const AveragingPolicy& policy_;
  std::vector<std::unique_ptr<LocalRank>>& ranks_;
  std::size_t world_size_;
  std::int64_t since_average_ = 0;
  std::optional<Weights> averaged_;  // with more than one rank
  std::optional<double> distance_;
};

}  // namespace convoy
