// Arithmetic over whole arenas and activations on the CPU, as convoy/backend.hpp states it. All results are equal to
// the bit for any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "convoy/backend.hpp"
#include "convoy/types.hpp"
#include "cpu/context.hpp"

namespace convoy::cpu {

void accumulate_logits(const float* logits, float weight, bool first, std::size_t count, float* sum, const Context&);
void add_gradient(int batch, const Extent&, void* a, const void* b, const Context&);
void clip_factor(const float* gradients, std::size_t count, float limit, float* factor, float* norm, const Context&);
std::uint64_t checksum(const void* data, std::size_t bytes, const Context&);
std::int64_t first_not_finite(const float* values, std::size_t count, const Context&);
void add_scaled(float* a, float factor, const float* b, std::size_t count, const Context&);
void scale(float* a, float factor, std::size_t count, const Context&);
void mean_of_sums(const MeanArgs&, const Context&);  // without narrow values: there are none on the CPU
double sum_of_squares(const float* values, std::size_t count, const Context&);

}  // namespace convoy::cpu
