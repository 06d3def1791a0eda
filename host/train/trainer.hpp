// The loop over epochs and steps of one worker: replay, count, log, evaluate. It knows no device and no file format.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "data/shards.hpp"
#include "io/rank_log.hpp"
#include "io/run_recorder.hpp"
#include "train/accord.hpp"
#include "train/averager.hpp"
#include "train/checkpoint/checkpoints.hpp"
#include "train/checkpoint/loaded_checkpoint.hpp"
#include "train/evaluator.hpp"
#include "train/local_rank.hpp"
#include "train/not_finite.hpp"
#include "train/recalibration.hpp"
#include "train/run_config.hpp"
#include "train/step_profile.hpp"
#include "watchdog/progress.hpp"

namespace convoy {

// What a trainer works with; all of it outlives the trainer. `validation` may be null.
struct TrainerParts {
  Backend& backend;
  Communicator& communicator;
  const RunConfig& config;
  std::vector<std::unique_ptr<LocalRank>>& ranks;
  Averager& averager;
  Evaluator& evaluator;
  Recalibration* recalibration;  // null: the averaged statistics stay
  DeviceSet& training;
  const Shards& shards;
  DeviceSet& test;
  DeviceSet* validation;
  RunRecorder& recorder;
  std::vector<RankLog>& rank_logs;  // of this worker's ranks; empty without --log-ranks
  StepProfile& profile;
  RankProgress& rank_progress;
  Accord& accord;
  Checkpoints& checkpoints;
  const Manifest& manifest;         // of a checkpoint: what is known before the first step
  const WeightsInfo& weights_info;  // of a checkpoint's weights
};

class Trainer {
 public:
  explicit Trainer(const TrainerParts& parts);

  // Trains to the last step and evaluates, unless the workers agree to stop before.
  RunResults run();
  // What changes from step to step. Restoring comes before run, which then goes on from there.
  void visit_state(TrainingState& state);
  const Weights& evaluated() const { return *evaluated_; }  // last of all; after a run to the end

 private:
  bool goes_on();
  void train_to_end();
  void recover(const NotFinite& noticed);
  std::string origin(const LoadedCheckpoint* last, const NotFinite& noticed);
  void skip_to(std::int64_t step, int epochs_done);
  void restore(const LoadedCheckpoint& checkpoint);
  void aim(int epoch, std::int64_t first, std::int64_t end);
  bool train_epoch(int epoch, std::int64_t last_step);
  bool evaluate_epoch(EpochMetrics& row, bool is_last);
  void log_step(std::int64_t step, int epoch);
  LossSums collect();
  bool is_checkpoint_due() const;
  void check_finite(const Weights& weights);
  void save_checkpoint(const Weights& averaged, std::optional<double> validation_accuracy, bool is_best);
  void checkpoint_after_epoch(const EpochMetrics& row, bool is_last);
  RankMetrics rank_row(int epoch, const LossSums& sums) const;
  CommunicationResults communication();
  std::optional<LossScaleMetrics> loss_scale();
  double evaluate_local();
  bool prepare_evaluation(int epoch);
  std::optional<Evaluation> timed_evaluation(const Weights& weights, DeviceSet& set);
  World world() const { return {parts_.communicator.size(), static_cast<int>(parts_.ranks.size())}; }
  const StepPlan& plan() const { return parts_.ranks.front()->plan; }  // what it says of the whole world

  TrainerParts parts_;
  const Weights* evaluated_ = nullptr;
  RunResults results_;
  LossSums epoch_sums_;  // of the epoch that is not done
  // Of each rank of this worker, since its last row of either kind.
  struct RankSums {
    LossSums step, epoch;
  };
  std::vector<RankSums> rank_sums_;
  double log_seconds_ = 0;       // training time at the last row
  std::int64_t log_images_ = 0;  // images seen then
  LossSums log_sums_;            // since then
  int epochs_done_ = 0;          // whole ones, whose row is written
  std::optional<double> best_validation_accuracy_;
  bool is_checkpoint_asked_ = false;
  std::int64_t finite_until_ = 0;                               // losses of the steps up to there are known
  std::vector<std::pair<std::int64_t, std::int64_t>> skipped_;  // steps from the first to before the second
  std::int64_t steps_taken_ = 0;                                // by this trainer, whatever it goes on from
  int rollbacks_in_a_row_ = 0;                                  // without a checkpoint in between
};

}  // namespace convoy
