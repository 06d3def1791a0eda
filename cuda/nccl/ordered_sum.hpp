// An all-reduce that adds in the order of ranks, whatever the layout of processes, links and algorithms: each rank sums
// a part of its own, which it gets from all and gives to all.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <vector>

#include "convoy/communicator.hpp"
#include "device_memory.hpp"

namespace convoy::cuda {

class OrderedSum {
 public:
  OrderedSum(int rank, int ranks) : rank_(rank), ranks_(ranks) {}

  // Memory for ranges of so many elements; not while a stream is captured.
  void reserve(std::size_t count);
  // In place; the same range length on all ranks. Reserves what is not. 2 (ranks - 1) / ranks of the range leave and
  // arrive, as in a ring.
  void enqueue(FloatRange range, ncclComm_t group, cudaStream_t stream, std::chrono::duration<double> limit);

 private:
  std::size_t part_begin(std::size_t count, int rank) const;
  // Sends own parts and receives others', all ranks with all.
  template <typename Send, typename Receive>
  void exchange(ncclComm_t group, cudaStream_t stream, std::chrono::duration<double> limit, const Send& send,
                const Receive& receive) const;

  int rank_, ranks_;
  // This rank's part of every other rank; the last is in use, those before may be part of recorded steps.
  std::vector<DeviceMemory> parts_;
  std::size_t part_capacity_ = 0;  // elements of each part
};

}  // namespace convoy::cuda
