// Dropout, forward and backward alike: elements are zeroed or scaled by the mask that DropoutSpec defines.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "convoy/step_row.hpp"
#include "convoy/types.hpp"

namespace convoy::cuda {

struct DropoutArgs {
  int samples = 0;
  int sample_elements = 0;  // at most 2^24
  float rate = 0;
  std::uint32_t salt = 0;
  DType type = DType::f32;
  const StepRow* row = nullptr;         // samples from row->count on are copied
  const std::int32_t* order = nullptr;  // position p of the batch is sample order[row->first + p]
  const void* input = nullptr;
  void* output = nullptr;  // may be input
};

void dropout(const DropoutArgs&, cudaStream_t);

}  // namespace convoy::cuda
