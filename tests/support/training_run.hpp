// A training run inside the test's own process, as the command `train` makes one, and what it leaves in its folder.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "io/metrics.hpp"
#include "support/temporary_folder.hpp"
#include "train/run_config.hpp"
#include "train/step.hpp"

namespace convoy::test {

using Tensors = std::map<std::string, std::vector<float>>;

struct TrainedRun {
  std::filesystem::path folder;
  RunResults results;
  std::string output;  // the lines for the user

  nlohmann::json summary() const;
  std::vector<nlohmann::json> rows(const std::string& kind) const;  // of metrics.jsonl: "step" or "epoch"
  std::vector<double> losses() const;                               // of the step rows
  std::string text_of(std::string_view file) const;
  std::filesystem::path weights_path() const { return folder / "weights.safetensors"; }
  Tensors tensors() const;  // of weights.safetensors, PyTorch's orders
};

// What a network starts from, as weights.safetensors would hold it (whitening filters still zero).
Tensors initial_tensors(const Model& model, std::uint64_t seed);

// A folder for the runs and files of one test.
class TrainingGround {
 public:
  // Later settings win. Throws what train throws, after the failure was recorded as the command does.
  TrainedRun train(const std::vector<Setting>& settings, const std::string& recipe = "");

  // Writes a file and gives its path.
  std::string write(const std::string& name, const std::string& text) const;

  // Two batches of `per_batch` CIFAR-10 images, which are also its test images.
  std::string tested_on_its_training_images(std::size_t per_batch) const;

  std::filesystem::path path() const { return folder_.path(); }
  std::filesystem::path last_folder() const;  // of the last run, finished or not

 private:
  TemporaryFolder folder_;
  int runs_ = 0;
};

// A small network on 32 x 32 images with everything that may differ from step to step: normalisation, dropout.
extern const char* const kTinyNetwork;
// Without either: a sample's loss depends on the weights alone.
extern const char* const kPlainNetwork;

std::vector<Setting> with(std::vector<Setting> settings, const std::vector<Setting>& more);

}  // namespace convoy::test
