// The mean of weights files: the baseline that averaging during training has to beat.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "train/run_config.hpp"

namespace convoy {

struct AverageOptions {
  std::vector<std::filesystem::path> weights;  // of one network and one normalisation; at least one
  std::filesystem::path out;
  // Normalisation statistics anew over so many batches of config.batch training images of config.data; 0: they are
  // averaged like the rest.
  int recalibrate = 0;
};

// `config` gives data, batch, device, precision and threads. Throws Error naming the file that does not go with the
// first. Returns lines for the user.
std::vector<std::string> average_weights(const AverageOptions& options, RunConfig config);

}  // namespace convoy
