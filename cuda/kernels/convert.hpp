// Between fp32 and the compute type, element by element. Rounds to nearest even.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "convoy/types.hpp"

namespace convoy::cuda {

void widen(const void* from, DType type, std::size_t count, float* to, cudaStream_t stream);
void narrow(const float* from, DType type, std::size_t count, void* to, cudaStream_t stream);

}  // namespace convoy::cuda
