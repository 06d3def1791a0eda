// The loss kernels of one instruction set.
#pragma once

namespace convoy::cpu {

struct LossKernels {};

}  // namespace convoy::cpu
