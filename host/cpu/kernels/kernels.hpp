// The CPU backend's hot loops as a table of functions. The files of this folder are compiled once per instruction
// set (baseline, avx2, avx512), each in a namespace of its own; `select_kernels` picks at run time.
#pragma once

#include <string_view>

namespace convoy::cpu {

struct Kernels {
  std::string_view isa;
};

// The best table this processor can run, capped by CONVOY_CPU_ISA=baseline|avx2|avx512 (an unknown word is an error).
const Kernels& select_kernels();

}  // namespace convoy::cpu
