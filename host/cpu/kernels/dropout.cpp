// The dropout kernels; compiled once per instruction set.
#include "cpu/kernels/dropout.hpp"

#include "cpu/kernels/providers.hpp"

namespace convoy::cpu::CONVOY_ISA {

DropoutKernels dropout_kernels() { return {}; }

}  // namespace convoy::cpu::CONVOY_ISA
