// Pooling loops over one batch. Plain data; see table.hpp.
#pragma once

#include <cstdint>

#include "convoy/types.hpp"

namespace convoy::cpu {

struct PoolArgs {
  int samples = 0;
  int blocks = 1, block = 1;       // of the input's layout [N][blocks][H][W][block]
  int channels = 1;                // without the layout's padding
  std::int64_t output_sample = 0;  // elements of one output sample; `channels` where vectors lie without padding
  int height = 1, width = 1, output_height = 1, output_width = 1;
  int kernel_height = 1, kernel_width = 1, stride_height = 1, stride_width = 1;
  int padding_top = 0, padding_left = 0;  // smaller than the kernel: every window holds a pixel
  DType type = DType::f32;
  int threads = 1;

  const void* input = nullptr;
  void* output = nullptr;
  std::uint16_t* argmax = nullptr;  // [output elements] row * kernel_width + column in the window; null: not kept
  const void* output_gradient = nullptr;
  void* input_gradient = nullptr;
};

struct PoolKernels {
  void (*max_forward)(const PoolArgs&) = nullptr;
  void (*max_backward)(const PoolArgs&) = nullptr;
  void (*average_forward)(const PoolArgs&) = nullptr;
  void (*average_backward)(const PoolArgs&) = nullptr;
};

}  // namespace convoy::cpu
