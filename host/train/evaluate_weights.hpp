// A weights file on a data set, exactly as the run that wrote it evaluated it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/evaluator.hpp"
#include "train/predictions.hpp"
#include "train/run_config.hpp"

namespace convoy {

struct EvaluateOptions {
  std::filesystem::path weights;
  std::string data;
  LabelKind labels = LabelKind::fine;
  int test_images = 0;                         // the first so many; 0: all
  std::optional<int> views, evaluation_batch;  // else those of the weights file
  std::filesystem::path logits;                // write the plain view's logits and the labels here; empty: no
  bool confusion = false;                      // which classes are taken for which
  std::filesystem::path picture;               // and a picture of that here; empty: no
};

struct WeightsEvaluation {
  Evaluation result;
  std::optional<Confusion> confusion;
  int views = 1;
  std::string device_line, data_name, network_name;
  std::vector<std::string> notes;  // lines for the user
};

// `config` gives device and threads, and the precision where the command line says one; else it is the run's.
WeightsEvaluation evaluate_weights(const EvaluateOptions& options, RunConfig config);

}  // namespace convoy
