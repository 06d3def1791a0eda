// weights.safetensors: parameters and statistics under PyTorch's names and in PyTorch's orders (OIHW filters, dense
// rows in C,H,W order), with what it takes to use them: network, normalisation, classes. See kMetadata in the .cpp.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "io/safetensors.hpp"
#include "nn/network.hpp"
#include "train/step.hpp"

namespace convoy {

// What a weights file says besides the tensors.
struct WeightsInfo {
  std::string network;                  // JSON, bound to classes and channels
  std::vector<double> mean, deviation;  // by channel of the data, pixels in 0..1
  std::vector<std::string> class_names;
  std::string recipe;
  int views = 1;             // that the recipe evaluates with
  int evaluation_batch = 0;  // in which batches,
  std::string precision;     // and in which precision: figures are equal to the last digit
};

// values: ParamLayout order, total_elements.
WrittenFile save_weights(const std::filesystem::path& path, const ParamLayout& layout, std::span<const float> values,
                         const WeightsInfo& info);

struct LoadedWeights {
  SafetensorsFile file;
  std::optional<WeightsInfo> info;  // absent in a file that another program wrote
};
LoadedWeights open_weights(const std::filesystem::path& path);

// Throws Error where the file was not written by convoy, so that nothing says which network it is for.
const WeightsInfo& info_of(const LoadedWeights& weights);

// Throws Error where data with such images have other classes, in number, or channels than the weights were trained on.
void check_goes_with(const WeightsInfo& info, const Dataset& data, const Extent& image);

// All parameters of the layout from the file; throws Error naming the first tensor that is missing or differs.
std::vector<float> read_weights(const LoadedWeights& weights, const ParamLayout& layout);

// For --init: like read_weights over `values`, but a last layer of another number of classes keeps what `values` has.
// Returns the parameters so kept.
std::vector<std::string> initialise_from(const LoadedWeights& weights, const ParamLayout& layout,
                                         std::span<float> values);

}  // namespace convoy
