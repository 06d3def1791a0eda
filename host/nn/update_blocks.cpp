// Cutting an optimizer's ranges into blocks.
#include "nn/update_blocks.hpp"

#include <algorithm>

#include "convoy/error.hpp"

namespace convoy {

std::vector<UpdateBlock> cut_into_blocks(const std::vector<UpdateRange>& ranges, std::size_t most_elements) {
  std::vector<UpdateBlock> blocks;
  for (const UpdateRange& range : ranges) {
    CONVOY_CHECK(range.group >= 0 && range.group < kMaxGroups, "update: parameter group {}, expected 0 to {}",
                 range.group, kMaxGroups - 1);
    for (std::size_t done = 0; done < range.count; done += most_elements) {
      const std::size_t count = std::min(most_elements, range.count - done);
      blocks.push_back({range.offset + done, static_cast<std::int64_t>(count), range.group, range.weight_decay});
    }
  }
  return blocks;
}

std::int64_t elements_of(const std::vector<UpdateBlock>& blocks) {
  std::int64_t elements = 0;
  for (const UpdateBlock& block : blocks) elements += block.count;
  return elements;
}

}  // namespace convoy
