// A step as a CUDA graph.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>

#include "convoy/backend.hpp"

namespace convoy::cuda {

// The first replay makes the calls as they are, which loads everything that the libraries load lazily; the second
// captures them; from then on one launch enqueues the whole step.
std::unique_ptr<Recording> record_graph(std::function<void()> step, cudaStream_t stream);

}  // namespace convoy::cuda
