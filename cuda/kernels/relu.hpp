// The backward pass of a ReLU that a product has fused.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "convoy/types.hpp"

namespace convoy::cuda {

// In place: gradient [count] becomes 0 where output [count] is 0 or less: a NaN lets it pass.
void relu_backward(const void* output, DType type, std::size_t count, void* gradient, cudaStream_t stream);

}  // namespace convoy::cuda
