// The fastest plan by measurement instead of by cuDNN's guess.
#pragma once

#include "cudnn/plan.hpp"

namespace convoy::cuda::cudnn {

// Runs up to kCandidates plans on memory of its own and takes the fastest; waits for the device.
constexpr std::size_t kCandidates = 16;  // often several of one engine
Plan fastest_plan(const Convolution&, const Rules&, cudnnHandle_t);

}  // namespace convoy::cuda::cudnn
