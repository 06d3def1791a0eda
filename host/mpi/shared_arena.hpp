// Ranks of one host sum where the numbers lie: each maps the arenas of the others, so nothing is copied, while MPI
// copies every number several times.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "convoy/communicator.hpp"
#include "io/shared_memory.hpp"

namespace convoy {

// Ends before the arena, whose memory is its own again then.
class SharedArena {
 public:
  // All ranks of `group`; arenas of one size that consist of whole pages of their own, as Backend::allocate gives them
  // on a CPU, and are not shared yet. Null, on all ranks, where not every one wants it and can map every other's: on
  // several hosts, or in containers of their own.
  static std::unique_ptr<SharedArena> make(const Arena& arena, Communicator& group, bool is_wanted);
  SharedArena(const SharedArena&) = delete;
  SharedArena& operator=(const SharedArena&) = delete;
  ~SharedArena();

  bool holds(const FloatRange& range) const;
  // All ranks, the same range: in place, `factor` times the sum over the ranks in their order. Waits.
  void sum(const FloatRange& range, float factor);

 private:
  struct Meeting;

  SharedArena(const Arena& arena, int rank, std::vector<SharedMemory> ranks);
  float* of_rank(std::size_t rank, std::size_t offset) const;
  void meet();

  float* data_;
  std::size_t bytes_;  // whole pages
  std::size_t rank_;
  std::vector<SharedMemory> ranks_;  // every rank's pages, and behind them its Meeting; that of the first is used
};

}  // namespace convoy
