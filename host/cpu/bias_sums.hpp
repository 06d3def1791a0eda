// Gradient of a bias alone: the sum of the output's gradient over batch and pixels, for layers whose weights are
// frozen (oneDNN gives it only together with the weights' gradient).
#pragma once

#include <cstddef>

#include "cpu/context.hpp"

namespace convoy::cpu {

std::size_t bias_sums_workspace(int batch, const Layout& layout);

// sums [C] fp32; gradient [batch] activations of `layout` in the compute type. Equal for any number of threads.
void bias_sums(const void* gradient, int batch, const Layout& layout, void* workspace, float* sums,
               const Context& context);

}  // namespace convoy::cpu
