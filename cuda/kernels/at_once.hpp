// Kernels whose blocks wait for each other, so that all of them must run at once. Only .cu files include it.
#pragma once

#include <cooperative_groups.h>

#include "kernels/launch.hpp"

namespace convoy::cuda {

// Whether the current device has room for so many blocks, when nothing else runs on it.
template <typename... Args>
bool fits_at_once(void (*kernel)(Args...), dim3 blocks, dim3 threads) {
  int device = 0, can_wait = 0, multiprocessors = 0, blocks_of_one = 0;
  CHECK_CUDA(cudaGetDevice(&device));
  CHECK_CUDA(cudaDeviceGetAttribute(&can_wait, cudaDevAttrCooperativeLaunch, device));
  CHECK_CUDA(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  CHECK_CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks_of_one, kernel,
                                                           static_cast<int>(threads.x * threads.y), 0));
  const auto room = static_cast<std::int64_t>(multiprocessors) * blocks_of_one;
  return can_wait != 0 && std::int64_t{blocks.x} * blocks.y <= room;
}

template <typename... Args>
void launch_at_once(void (*kernel)(Args...), dim3 blocks, dim3 threads, cudaStream_t stream, Args... args) {
  void* pointers[] = {&args...};
  CHECK_CUDA(cudaLaunchCooperativeKernel(kernel, blocks, threads, pointers, 0, stream));
}

// Until every block of the grid is here; what they wrote before is there to be read then.
__device__ inline void wait_for_all_blocks() { cooperative_groups::this_grid().sync(); }

}  // namespace convoy::cuda
