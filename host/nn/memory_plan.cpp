// Greedy-by-size placement.
#include "nn/memory_plan.hpp"

#include <algorithm>
#include <numeric>

#include "convoy/types.hpp"

namespace convoy {

MemoryPlan plan_memory(const std::vector<Lifetime>& buffers) {
  std::vector<std::size_t> by_size(buffers.size());
  std::iota(by_size.begin(), by_size.end(), std::size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](std::size_t a, std::size_t b) { return buffers[a].bytes > buffers[b].bytes; });

  MemoryPlan plan;
  plan.offsets.resize(buffers.size());
  std::vector<std::size_t> placed;  // by ascending offset
  for (const std::size_t index : by_size) {
    const Lifetime& buffer = buffers[index];
    if (buffer.bytes == 0) continue;
    std::size_t offset = 0;
    for (const std::size_t other : placed) {
      const bool is_live_together = buffers[other].first <= buffer.last && buffer.first <= buffers[other].last;
      if (!is_live_together) continue;
      if (offset + buffer.bytes <= plan.offsets[other]) break;  // fits into the gap before it
      offset = std::max(offset, plan.offsets[other] + align_up(buffers[other].bytes));
    }
    plan.offsets[index] = offset;
    plan.bytes = std::max(plan.bytes, offset + align_up(buffer.bytes));
    placed.insert(std::upper_bound(placed.begin(), placed.end(), index,
                                   [&](std::size_t a, std::size_t b) { return plan.offsets[a] < plan.offsets[b]; }),
                  index);
  }
  return plan;
}

}  // namespace convoy
