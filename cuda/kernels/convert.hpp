// Between fp32 and the compute type, element by element; rounds to nearest even. Arenas start at multiples of 32 bytes.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>

#include "convoy/backend.hpp"
#include "convoy/types.hpp"

namespace convoy::cuda {

// Over the same ranges of both arenas.
void widen(std::span<const ElementRange> ranges, const void* from, DType type, float* to, cudaStream_t stream);
void narrow(const float* from, DType type, std::size_t count, void* to, cudaStream_t stream);

}  // namespace convoy::cuda
