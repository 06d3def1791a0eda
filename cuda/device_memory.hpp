// Device memory of an operation's own, beside the arenas that the planner places: tables, counters, scratch for a
// choice.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "check.hpp"
#include "handles.hpp"

namespace convoy::cuda {

using DeviceMemory = Owned<void*, cudaFree>;

// Contents undefined; nothing for 0 bytes. Throws Error where there is no such memory.
inline DeviceMemory allocate_memory(std::size_t bytes) {
  void* data = nullptr;
  if (bytes != 0) CHECK_CUDA(cudaMalloc(&data, bytes));
  return DeviceMemory(data);
}

}  // namespace convoy::cuda
