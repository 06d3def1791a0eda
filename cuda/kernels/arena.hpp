// Arithmetic over whole arenas; each as its method of Backend says. Pointers need the alignment of their elements only,
// but are read 16 bytes at a time where they all start at a multiple of it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "convoy/backend.hpp"
#include "convoy/device_mark.hpp"
#include "convoy/loss_scale.hpp"
#include "convoy/types.hpp"
#include "kernels/reduction.hpp"

namespace convoy::cuda {

void accumulate_logits(const float* logits, float weight, bool first, std::size_t count, float* sum, cudaStream_t);
void add_gradient(std::size_t count, DType type, void* a, const void* b, cudaStream_t);
void add_scaled(float* a, float factor, const float* b, std::size_t count, cudaStream_t);
// `left`, where it is not null, waits no longer.
void scale(float* a, float factor, std::size_t count, DeviceMark* left, cudaStream_t);
// `compute`: of the narrow values.
void mean_of_sums(const MeanArgs&, DType compute, DeviceMark* left, ReductionScratch*, cudaStream_t);

void clip_factor(const float* gradients, std::size_t count, float limit, float* factor, float* norm, LossScale*,
                 ReductionScratch*, cudaStream_t);
// These write their result to the start of the scratch: a double, a std::uint64_t, a std::int64_t.
void sum_of_squares(const float* values, std::size_t count, ReductionScratch*, cudaStream_t);
void checksum(const void* device, std::size_t bytes, ReductionScratch*, cudaStream_t);
void first_not_finite(const float* values, std::size_t count, ReductionScratch*, cudaStream_t);

}  // namespace convoy::cuda
