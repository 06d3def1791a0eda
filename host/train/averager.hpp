// Averages gradients or weights over the ranks of a run, those of this worker and those elsewhere, as the policies say.
// A world of W workers with L ranks each has W * L ranks; worker w holds w * L ... w * L + L - 1.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "train/averaging_policy.hpp"
#include "train/bucketed_average.hpp"
#include "train/checkpoint/state_visitor.hpp"
#include "train/local_rank.hpp"
#include "train/outer_optimizer.hpp"
#include "train/rank_group.hpp"
#include "train/run_config.hpp"

namespace convoy {

class Averager {
 public:
  // `ranks`, in the state of their first step, and the rest outlive it. Layouts are equal on all ranks. Throws
  // UsageError where the configuration's policies do not go together.
  Averager(Backend& backend, Communicator& communicator, const RunConfig& config,
           std::vector<std::unique_ptr<LocalRank>>& ranks);
  ~Averager();

  // One step of every local rank, with what the policies exchange in it. `before_average`, where given, sees the ranks'
  // own weights after the step, before an average changes them.
  void step(std::int64_t step, const std::function<void()>& before_average = nullptr);

  // The batches of the local ranks in the order in which step() takes them, after those in `batches`.
  void append_batches(std::int64_t step, std::vector<Share>& batches) const;

  // The mean over all ranks of their weights, or of their moving averages, in memory of its own: what is evaluated and
  // saved, and may be changed before. Changes no bit of training.
  Weights& averaged();

  // ||w_r - mean|| / ||mean||, root mean square over the ranks, before the last average of weights over the world.
  // Waits for that average; all workers call it.
  std::optional<double> distance();

  CommunicationCost cost() const;  // of this run, in earlier processes too

  // With the ranks' weights. All workers call it after the same step, for it waits for an average under way.
  void visit_state(TrainingState& state);

 private:
  struct Late;  // an average under way

  void attach_arenas();
  void take_steps(const StepVariant& variant);
  void average_world(std::int64_t step);
  void average_nodes();
  void share_weights(const RankGroup& group, const RangeOf& range);
  void reset_moments();
  double mean_square_of_weights();
  void start_late_average();
  void finish_late_average();
  void update_moving_averages(std::int64_t step);
  void visit_late_average(TrainingState& state);
  void visit_cost(StateVisitor& state);
  PolicyStep policy_step(std::int64_t step, std::int64_t since_average) const;

  Backend& backend_;
  const RunConfig& config_;
  std::vector<std::unique_ptr<LocalRank>>& ranks_;
  const ParamLayout& layout_;
  AveragingPolicy policy_;
  std::optional<AveragingPolicy> node_policy_;
  RankGroup world_;
  std::vector<RankGroup> nodes_;
  std::optional<BucketedAverage> gradients_;  // where the policy averages them
  OuterOptimizer outer_;
  int first_rank_;
  std::int64_t since_average_ = 0, since_node_average_ = 0;
  std::unique_ptr<Late> late_;
  std::vector<Arena> moving_averages_;  // of every local rank; empty without --ema
  std::optional<double> distance_;
  std::vector<double> squares_;           // ||w_r||^2 of every rank of the world
  std::optional<double> mean_square_;     // of these, before the last average, where distance_ is not yet that one's
  std::optional<double> square_of_part_;  // this worker's share of ||mean||^2 of the last average, where ranks divided
  Arena square_of_mean_;                  // as they summed; else all of it, a double, is here
  Weights averaged_;
  CommunicationCost cost_before_;        // of earlier processes, less what the communicator did for earlier runs
  std::vector<Attachment> attachments_;  // the last member: they end before what they hold on to
};

}  // namespace convoy
