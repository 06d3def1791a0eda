// A run made ready: its images on the device, its ranks with their steps planned, its evaluation. Another run that
// differs by its seed alone takes all of it over.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "data/shards.hpp"
#include "data/split.hpp"
#include "train/device_set.hpp"
#include "train/evaluator.hpp"
#include "train/local_rank.hpp"
#include "train/recalibration.hpp"
#include "train/run_inputs.hpp"

namespace convoy {

// By channel of the data, pixels in 0..1.
struct PixelStatistics {
  std::vector<double> mean, deviation;
};

// Not movable: most of it refers to the configuration.
struct PlannedRun {
  // `inputs` outlives it; `config_in_force` is what resolve_ranks makes. All workers call it.
  PlannedRun(const RunInputs& inputs, const RunConfig& config_in_force, RunContext& context);
  PlannedRun(const PlannedRun&) = delete;
  PlannedRun& operator=(const PlannedRun&) = delete;

  // Whether a run of that configuration would be planned alike. Not where images are held out, which follows from the
  // seed.
  bool serves(const RunConfig& other) const;
  // From now on it is that run's. Weights and samples are still the other's.
  void take_over(const RunInputs& inputs, const RunConfig& other);

  const StepPlan& plan() const { return ranks.front()->plan; }  // what it says of the whole world

  RunConfig config;  // of the run at work
  Split held_out;    // both empty without a validation set
  const ImageSet& training_images;
  PixelStatistics seen;
  PixelScale pixels;
  Shards shards;
  int rank_batch;  // of the largest step
  DeviceSet training, test;
  std::optional<DeviceSet> validation;
  std::vector<std::unique_ptr<LocalRank>> ranks;  // of this worker
  Evaluator evaluator;
  std::optional<Recalibration> recalibration;

 private:
  void plan_ranks(const RunInputs& inputs, RankProgress& progress);
};

}  // namespace convoy
