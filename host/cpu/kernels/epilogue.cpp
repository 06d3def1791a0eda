// The epilogue kernels; compiled once per instruction set.
#include "cpu/kernels/epilogue.hpp"

#include "cpu/kernels/providers.hpp"

namespace convoy::cpu::CONVOY_ISA {

EpilogueKernels epilogue_kernels() { return {}; }

}  // namespace convoy::cpu::CONVOY_ISA
