// The update kernels of one instruction set.
#pragma once

namespace convoy::cpu {

struct UpdateKernels {};

}  // namespace convoy::cpu
