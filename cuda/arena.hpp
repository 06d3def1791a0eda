// Arithmetic over whole arenas; each as its method of Backend says.
#pragma once

#include <cstddef>
#include <cstdint>

#include "context.hpp"
#include "handles.hpp"

namespace convoy::cuda {

void accumulate_logits(const float* logits, float weight, bool first, std::size_t count, float* sum, const Context&);
void add_gradient(std::size_t count, void* a, const void* b, const Context&);
void add_scaled(float* a, float factor, const float* b, std::size_t count, const Context&);
void scale(float* a, float factor, std::size_t count, const Context&);

// Reductions give the same bits each time: sums of parts that depend on the count alone, added in order.
// `scratch` is device memory.
void clip_factor(const float* gradients, std::size_t count, float limit, float* factor, float* norm, void* scratch,
                 const Context&);
// These write their result to the first bytes of scratch: a double, a std::uint64_t, a std::int64_t.
void sum_of_squares(const float* values, std::size_t count, void* scratch, const Context&);
void checksum(const void* device, std::size_t bytes, void* scratch, const Context&);
void first_not_finite(const float* values, std::size_t count, void* scratch, const Context&);

}  // namespace convoy::cuda
