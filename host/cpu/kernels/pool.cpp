// The pool kernels; compiled once per instruction set.
#include "cpu/kernels/pool.hpp"

#include "cpu/kernels/providers.hpp"

namespace convoy::cpu::CONVOY_ISA {

PoolKernels pool_kernels() { return {}; }

}  // namespace convoy::cpu::CONVOY_ISA
