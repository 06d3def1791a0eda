// What each kernel file hands to the table of its instruction set; included only by files that are compiled once
// per instruction set. Everything there must lie in namespace convoy::cpu::CONVOY_ISA or be static, and no header
// with inline functions may be included: the linker keeps one copy of such a function, perhaps one with AVX code.
#pragma once

#include "cpu/kernels/arena.hpp"
#include "cpu/kernels/dropout.hpp"
#include "cpu/kernels/epilogue.hpp"
#include "cpu/kernels/input.hpp"
#include "cpu/kernels/pool.hpp"
#include "cpu/kernels/update.hpp"

#ifndef CONVOY_ISA
#error "CMake compiles this file once per instruction set with -DCONVOY_ISA=baseline|avx2|avx512"
#endif

namespace convoy::cpu::CONVOY_ISA {

EpilogueKernels epilogue_kernels();  // epilogue.cpp
PoolKernels pool_kernels();          // pool.cpp
DropoutKernels dropout_kernels();    // dropout.cpp
InputKernels input_kernels();        // input.cpp
ArenaKernels arena_kernels();        // arena.cpp
UpdateKernels update_kernels();      // update.cpp

}  // namespace convoy::cpu::CONVOY_ISA
