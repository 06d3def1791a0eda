// The first kernels of a step: the row of numbers it reads, and pixels become the network's input. Each as its method
// of Backend says.
#pragma once

#include <cuda_runtime_api.h>

#include "convoy/backend.hpp"

namespace convoy::cuda {

void begin_step(const StepRow* rows, std::int32_t* cursor, StepRow* current, cudaStream_t stream);
// The output is [rows,H,W,C] in `type`, and starts at a multiple of 16 bytes.
void prepare_input(const InputArgs&, DType type, cudaStream_t stream);

}  // namespace convoy::cuda
