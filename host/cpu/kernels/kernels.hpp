// The CPU backend's hot loops as a table of functions. The files of this folder are compiled once per instruction
// set (baseline, avx2, avx512), each in a namespace of its own; `select_kernels` picks at run time.
#pragma once

#include <string_view>
#include <vector>

#include "cpu/kernels/table.hpp"

namespace convoy::cpu {

struct Kernels : KernelTable {
  std::string_view isa;
};

// The best table this processor can run, capped by CONVOY_CPU_ISA=baseline|avx2|avx512 (an unknown word is an error).
const Kernels& select_kernels();

// Every table this processor can run, from the plainest to the best.
const std::vector<Kernels>& runnable_kernels();

}  // namespace convoy::cpu
