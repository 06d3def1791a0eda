// The epilogue's kernels of one instruction set.
#include "cpu/kernels/epilogue_parts.hpp"
#include "cpu/kernels/providers.hpp"

namespace convoy::cpu::CONVOY_ISA {

EpilogueKernels epilogue_kernels() {
  EpilogueKernels kernels;
  add_epilogue_forward(&kernels);
  add_epilogue_backward(&kernels);
  return kernels;
}

}  // namespace convoy::cpu::CONVOY_ISA
