// The update kernels; compiled once per instruction set.
#include "cpu/kernels/update.hpp"

#include "cpu/kernels/providers.hpp"

namespace convoy::cpu::CONVOY_ISA {

UpdateKernels update_kernels() { return {}; }

}  // namespace convoy::cpu::CONVOY_ISA
