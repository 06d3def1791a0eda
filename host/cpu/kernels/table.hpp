// The functions of one instruction set, a struct per subject. Plain data and no standard header: the files that
// fill it are compiled with instructions that the rest of the program must not contain.
#pragma once

#include "cpu/kernels/arena.hpp"
#include "cpu/kernels/dropout.hpp"
#include "cpu/kernels/epilogue.hpp"
#include "cpu/kernels/input.hpp"
#include "cpu/kernels/pool.hpp"
#include "cpu/kernels/update.hpp"

namespace convoy::cpu {

struct KernelTable {
  EpilogueKernels epilogue;
  PoolKernels pool;
  DropoutKernels dropout;
  InputKernels input;
  ArenaKernels arena;
  UpdateKernels update;
};

}  // namespace convoy::cpu
