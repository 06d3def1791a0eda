// Softmax cross-entropy, as Backend::softmax_cross_entropy says.
#pragma once

#include <cuda_runtime_api.h>

#include "convoy/backend.hpp"
#include "kernels/reduction.hpp"

namespace convoy::cuda {

// The gradient [rows, classes] is of `type`.
void softmax_cross_entropy(const LossArgs&, DType type, ReductionScratch* scratch, cudaStream_t stream);

}  // namespace convoy::cuda
