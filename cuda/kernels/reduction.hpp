// Where a reduction over many blocks keeps its parts. It depends on the size of the problem alone how many there are
// and in which order they are added, so the result has the same bits each time.
#pragma once

#include <cstddef>

#include "convoy/types.hpp"

namespace convoy::cuda {

constexpr int kReductionBlocks = 512;       // at most; enough to read at full speed on a large GPU
constexpr std::size_t kReductionPart = 32;  // bytes, at most

// Device memory, zero before its first use; reductions on one stream share it. A result for the host lies at its start.
struct ReductionScratch {
  alignas(kAlignment) std::byte parts[kReductionBlocks * kReductionPart];
  alignas(kAlignment) unsigned blocks_done;
};

}  // namespace convoy::cuda
