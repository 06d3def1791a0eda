// A weights file on pictures without labels, each brought to the network's input as a folder of pictures is for
// training.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/predictions.hpp"
#include "train/run_config.hpp"

namespace convoy {

struct PredictOptions {
  std::filesystem::path weights;
  std::vector<std::string> paths;  // pictures, and folders of them
  std::optional<int> views;        // else those of the weights file
  int most = 1;                    // classes told of each picture
};

struct PicturePrediction {
  std::string path;
  std::vector<Prediction> classes;  // the most probable first; empty where the picture cannot be read
  std::string error;                // then why, in one line that names it
};

struct PicturePredictions {
  std::vector<std::string> class_names;
  std::vector<PicturePrediction> pictures;  // in the order given; those of a folder sorted
};

// Of a folder every .png, .jpg and .jpeg in it and in the folders in it. Throws UsageError where a path is not there or
// a folder holds none.
PicturePredictions predict_pictures(const PredictOptions& options, RunConfig config);

}  // namespace convoy
