// Dropout's loop over one batch. Plain data; see table.hpp.
#pragma once

#include <cstdint>

#include "convoy/types.hpp"

namespace convoy::cpu {

struct DropoutArgs {
  int samples = 0;
  int blocks = 1, block = 1, pixels = 1;  // of the layout [N][blocks][pixels][block]
  int channels = 1;                       // without the layout's padding
  float rate = 0;
  std::uint32_t salt = 0;
  DType type = DType::f32;
  int threads = 1;

  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  const std::int32_t* order = nullptr;  // the sample number of each position of the batch
  int count = 0;                        // valid samples; the rest is copied
  const void* input = nullptr;
  void* output = nullptr;  // may be input
};

struct DropoutKernels {
  void (*apply)(const DropoutArgs&) = nullptr;  // forward and backward alike
};

}  // namespace convoy::cpu
