// Softmax cross-entropy on the CPU, as convoy/backend.hpp states it.
#pragma once

#include "convoy/backend.hpp"
#include "cpu/context.hpp"

namespace convoy::cpu {

void softmax_cross_entropy(const LossArgs&, const Context&);

}  // namespace convoy::cpu
