// A step as a CUDA graph.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <vector>

#include "convoy/backend.hpp"

namespace convoy::cuda {

// What is being captured on this worker's thread, for those who enqueue something that a replay must account for.
struct Capture {
  std::vector<std::function<void()>>* before_replay = nullptr;  // to be called on the host; null: nothing is captured
  std::vector<RecordedRange>* ranges = nullptr;                 // of all kernels so far; null likewise
};

// The first replay makes the calls as they are, which loads everything that the libraries load lazily; the second
// captures them; from then on one launch enqueues the whole step.
// `capture` outlives it.
std::unique_ptr<Recording> record_graph(std::function<void()> step, cudaStream_t stream, Capture& capture);

// The calls themselves, each time.
std::unique_ptr<Recording> record_calls(std::function<void()> step);

}  // namespace convoy::cuda
