// An optimizer's ranges cut into blocks of at most kUpdateBlock elements, made once at planning: one parallel loop
// over them is one pass over the arena, however uneven the tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "convoy/update.hpp"

namespace convoy::cpu {

constexpr std::size_t kUpdateBlock = 8192;  // elements: weights, gradients and two moments fit in a core's L2 cache

struct UpdateBlock {
  std::size_t offset = 0;
  std::int64_t count = 0;
  int group = 0;
  float weight_decay = 0;
};

// Throws where a range's group has no rate in StepRow.
std::vector<UpdateBlock> cut_into_blocks(const std::vector<UpdateRange>& ranges);

std::int64_t elements_of(const std::vector<UpdateBlock>& blocks);

}  // namespace convoy::cpu
