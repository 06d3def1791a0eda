// The fastest plan by measurement instead of by cuDNN's guess; what was measured is kept on disk for later runs.
#pragma once

#include <filesystem>

#include "cudnn/plan.hpp"

namespace convoy::cuda::cudnn {

// Where choices are kept: $CONVOY_CACHE/plans, $XDG_CACHE_HOME/convoy/plans or ~/.cache/convoy/plans; empty where there
// is none of them.
std::filesystem::path plan_folder();

// Runs up to kCandidates plans on memory of its own and takes the fastest; waits for the device. A choice found in
// `folder` for this convolution, these rules, this kind of GPU and this version of cuDNN is taken without measuring.
// An empty folder: nothing is kept. A file that cannot be written or read is done without.
constexpr std::size_t kCandidates = 8;
Plan fastest_plan(const Convolution&, const Rules&, cudnnHandle_t, const std::filesystem::path& folder);

}  // namespace convoy::cuda::cudnn
