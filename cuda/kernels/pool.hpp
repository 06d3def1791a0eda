// Max and average pooling with any window, stride and padding.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "convoy/operation.hpp"
#include "convoy/types.hpp"

namespace convoy::cuda {

struct PoolArgs {
  PoolSpec::Kind kind = PoolSpec::Kind::max;
  int samples = 0, channels = 1;
  int height = 1, width = 1;
  int output_height = 1, output_width = 1;
  int kernel_height = 1, kernel_width = 1;
  int stride_height = 1, stride_width = 1;
  int padding_top = 0, padding_left = 0;  // smaller than the kernel: every window holds a pixel
  DType type = DType::f32;

  const void* input = nullptr;
  void* output = nullptr;
  void* argmax = nullptr;  // [output elements] row * kernel_width + column in the window; null: not kept
  const void* output_gradient = nullptr;
  void* input_gradient = nullptr;
};

// Bytes of one place in `argmax`: 1 where a window has so few pixels, else 2.
std::size_t pool_place_bytes(const PoolArgs&);

void pool_forward(const PoolArgs&, cudaStream_t);
void pool_backward(const PoolArgs&, cudaStream_t);

}  // namespace convoy::cuda
