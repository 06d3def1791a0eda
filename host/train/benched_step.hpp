// A training step on synthetic images, with everything that it needs, for those who time it.
#pragma once

#include <functional>
#include <vector>

#include "convoy/backend.hpp"
#include "data/dataset.hpp"
#include "train/device_set.hpp"
#include "train/plan.hpp"
#include "train/run_config.hpp"
#include "train/step.hpp"
#include "train/weights.hpp"

namespace convoy {

// Not movable: the parts hold references to each other.
class BenchedStep {
 public:
  // `config` gives model, batch, optimizer, seed; `most`: how often it may run. `on_progress` is called while the step
  // is planned and run, see TrainStep::on_progress.
  BenchedStep(
      Backend& backend, RunConfig config, int most, std::function<void()> on_progress = [] {});

  void run() { step_.run(variant()); }
  void refresh_copies() { step_.refresh_copies(variant()); }

  const Model& model() const { return model_; }
  Weights& weights() { return weights_; }
  const Program& program() const { return step_.program(variant()); }

 private:
  StepVariant variant() const { return plan_.variant(0); }

  RunConfig config_;
  Model model_;
  Dataset data_;
  StepPlan plan_;
  Weights weights_;
  DeviceSet set_;
  TrainStep step_;
};

}  // namespace convoy
