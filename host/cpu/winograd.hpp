// When oneDNN's Winograd convolution, F(4x4, 3x3) of Lavin & Gray (2016) in fp32, is faster than its direct one. Only
// oneDNN up to 3.1 has one, for AVX-512; elsewhere the direct convolution is what there is. It sums in another order
// and through sums of inputs: errors are 3 to 5 times those of the direct convolution, about 1e-6 of a tensor's norm.
#pragma once

#include "convoy/operation.hpp"
#include "cpu/context.hpp"

namespace convoy::cpu {

enum class Pass : std::uint8_t { forward, backward_data, backward_weights };

bool is_winograd_faster(const ConvSpec&, int batch, Pass, const Context&);

// CONVOY_CPU_WINOGRAD=0 turns it off. Throws UsageError for a word other than 0 and 1.
bool is_winograd_wanted();

}  // namespace convoy::cpu
