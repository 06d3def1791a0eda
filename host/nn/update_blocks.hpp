// An optimizer's ranges cut into blocks of a size that suits the backend, made once at planning: one loop or launch
// over them is one pass over the arena, however uneven the tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "convoy/update.hpp"

namespace convoy {

struct UpdateBlock {
  std::size_t offset = 0;
  std::int64_t count = 0;
  int group = 0;
  float weight_decay = 0;
};

// Throws where a range's group has no rate in StepRow.
std::vector<UpdateBlock> cut_into_blocks(const std::vector<UpdateRange>& ranges, std::size_t most_elements);

std::int64_t elements_of(const std::vector<UpdateBlock>& blocks);

}  // namespace convoy
