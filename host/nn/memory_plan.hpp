// Offsets for buffers that live at different times in one arena: two whose lifetimes overlap never overlap in memory.
#pragma once

#include <cstddef>
#include <vector>

namespace convoy {

// A buffer that is live from time `first` to time `last`, both included.
struct Lifetime {
  std::size_t bytes = 0;
  int first = 0, last = 0;
};

struct MemoryPlan {
  std::vector<std::size_t> offsets;  // by buffer; multiples of kAlignment
  std::size_t bytes = 0;             // of the arena
};

// Greedy by size: the largest buffer first, each at the lowest offset that is free for its whole lifetime
// (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020).
MemoryPlan plan_memory(const std::vector<Lifetime>& buffers);

}  // namespace convoy
