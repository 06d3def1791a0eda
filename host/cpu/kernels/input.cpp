// The input kernels; compiled once per instruction set.
#include "cpu/kernels/input.hpp"

#include "cpu/kernels/providers.hpp"

namespace convoy::cpu::CONVOY_ISA {

InputKernels input_kernels() { return {}; }

}  // namespace convoy::cpu::CONVOY_ISA
