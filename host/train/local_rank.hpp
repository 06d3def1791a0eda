// What belongs to one rank alone: its part of every batch, its weights with their moments, and its recordings. A worker
// has one, or, with --virtual-ranks, several that it steps in turn.
#pragma once

#include "train/plan.hpp"
#include "train/step.hpp"
#include "train/weights.hpp"

namespace convoy {

// Not movable: the step refers to the weights.
struct LocalRank {
  LocalRank(Backend& backend, const Model& model, const RunConfig& config, const StepPlan& of_plan, DeviceSet& data,
            const PixelScale& pixels)
      : plan(of_plan),
        weights(backend, model.layout, "weights and moments", moments_needed(model.layout, config)),
        step(backend, model, config, weights, data, pixels) {}
  LocalRank(const LocalRank&) = delete;
  LocalRank& operator=(const LocalRank&) = delete;

  StepPlan plan;
  Weights weights;
  TrainStep step;
};

}  // namespace convoy
