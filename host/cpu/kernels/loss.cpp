// The loss kernels; compiled once per instruction set.
#include "cpu/kernels/loss.hpp"

#include "cpu/kernels/providers.hpp"

namespace convoy::cpu::CONVOY_ISA {

LossKernels loss_kernels() { return {}; }

}  // namespace convoy::cpu::CONVOY_ISA
