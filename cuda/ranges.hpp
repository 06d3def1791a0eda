// Ranges for profilers: NVTX's, which cost nothing to speak of where none is attached, and while a graph is captured a
// list of how many of its kernels belong to each.
#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <string_view>
#include <vector>

#include "recording.hpp"

namespace convoy::cuda {

class Ranges {
 public:
  // `capture` outlives it.
  Ranges(cudaStream_t stream, Capture& capture) : stream_(stream), capture_(capture) {}

  void begin(std::string_view name);
  void end();

 private:
  void count();

  cudaStream_t stream_;
  Capture& capture_;
  std::vector<std::string> open_;
};

// The name under which profilers show it.
void name_stream(cudaStream_t stream, const char* name);

}  // namespace convoy::cuda
