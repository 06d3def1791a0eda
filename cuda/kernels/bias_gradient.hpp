// The gradient of a bias: sums over rows, in fp32, in an order that depends on the sizes alone.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "convoy/types.hpp"

namespace convoy::cuda {

// output_gradient [rows, channels] in `type`; bias_gradient [channels] is overwritten.
std::size_t bias_gradient_workspace(std::int64_t rows, int channels);  // bytes
void bias_gradient(const void* output_gradient, DType type, std::int64_t rows, int channels, void* workspace,
                   float* bias_gradient, cudaStream_t stream);

}  // namespace convoy::cuda
