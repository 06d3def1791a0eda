// The steps of a run: how many there are, what each one's row says, and which recording it replays. Pure arithmetic,
// the same on every rank.
#pragma once

#include <cstdint>
#include <vector>

#include "convoy/step_row.hpp"
#include "data/sampler.hpp"
#include "nn/parameters.hpp"
#include "train/optimizer.hpp"
#include "train/run_config.hpp"
#include "train/step.hpp"

namespace convoy {

class StepPlan {
 public:
  // positions: how many samples an epoch takes over all ranks (see Shards).
  StepPlan(const RunConfig& config, const ParamLayout& layout, std::int64_t positions, int rank, int world_size);

  std::int64_t steps_per_epoch() const { return steps_per_epoch_; }
  std::int64_t scheduled_steps() const { return steps_per_epoch_ * config_.epochs; }  // where the schedule ends
  std::int64_t last_step() const;                                                     // --steps may stop earlier

  std::int64_t images() const;  // that the whole run sees, over all ranks

  // epoch from 0; rows for this rank.
  std::vector<StepRow> rows(int epoch) const;
  Share share(std::int64_t step) const;  // this rank's positions of the epoch's order
  StepVariant variant(std::int64_t step) const;
  std::vector<StepVariant> variants() const;            // every one that occurs, by first appearance
  std::int64_t global_images(std::int64_t step) const;  // of this step, over all ranks
  double learning_rate(std::int64_t step) const;        // the run's own, before groups

 private:
  const RunConfig& config_;
  std::vector<GroupRate> rates_;
  GroupRate run_rate_;
  std::int64_t positions_;  // of an epoch
  std::int64_t steps_per_epoch_;
  int rank_, world_size_;
};

}  // namespace convoy
