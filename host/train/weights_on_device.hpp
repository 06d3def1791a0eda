// A weights file made ready to compute with: its network on a device, in the precision that it was trained in.
#pragma once

#include <memory>
#include <optional>

#include "train/devices.hpp"
#include "train/evaluator.hpp"
#include "train/weights_file.hpp"

namespace convoy {

class WeightsOnDevice {
 public:
  struct Options {
    std::optional<int> views, batch;  // else those of the weights file
    std::size_t most_images = 0;      // of a set
  };
  // `network`: info_of(loaded).network, parsed. `config` gives device and threads, and the precision where the command
  // line says one.
  WeightsOnDevice(const LoadedWeights& loaded, Network network, RunConfig config, const Options& options);

  int views() const { return views_; }
  int batch() const { return batch_; }
  const Model& model() const { return model_; }
  Backend& backend() { return *device_.backend; }
  const std::string& device_line() const { return device_.line; }

  Evaluation evaluate(DeviceSet& set) { return evaluator_.evaluate_alone(weights_, set); }
  std::vector<float> plain_logits(DeviceSet& set) { return evaluator_.plain_logits(weights_, set); }
  std::vector<float> logits(DeviceSet& set) { return evaluator_.logits(weights_, set); }

 private:
  int views_, batch_;
  ChosenDevice device_;
  Model model_;
  Weights weights_;
  std::unique_ptr<Communicator> self_ = make_self_communicator();
  Evaluator evaluator_;
};

}  // namespace convoy
