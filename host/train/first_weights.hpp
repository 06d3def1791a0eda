// Where the ranks of a run start: drawn, whitened, or read from --init; common to all, or each rank's own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "convoy/communicator.hpp"
#include "data/dataset.hpp"
#include "train/local_rank.hpp"
#include "train/run_config.hpp"
#include "train/step.hpp"

namespace convoy {

// All workers call it. Common weights are the first worker's: broadcast, and proved equal. Returns a line for the user
// where they come from a file, else nothing. Throws Error where the file does not fit.
std::string set_first_weights(const std::vector<std::unique_ptr<LocalRank>>& ranks, Communicator& communicator,
                              const Model& model, const RunConfig& config, const ImageSet& training,
                              const PixelScale& pixels);

}  // namespace convoy
