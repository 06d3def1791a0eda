// The gradient of a bias: sums over rows, in fp32, in an order that depends on the sizes alone.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "convoy/types.hpp"

namespace convoy::cuda {

struct BiasGradientArgs {
  DType type = DType::f32;
  std::int64_t rows = 0;
  int channels = 0;
  const void* output_gradient = nullptr;  // [rows, channels], at a multiple of kAlignment like the workspace
  void* workspace = nullptr;
  unsigned* counters = nullptr;    // zero before the first launch and after each
  float* bias_gradient = nullptr;  // [channels]
};

std::size_t bias_gradient_workspace(const BiasGradientArgs&);  // bytes
int bias_gradient_counters(const BiasGradientArgs&);
void bias_gradient(const BiasGradientArgs&, cudaStream_t stream);

}  // namespace convoy::cuda
