// The input kernels of one instruction set.
#pragma once

namespace convoy::cpu {

struct InputKernels {};

}  // namespace convoy::cpu
