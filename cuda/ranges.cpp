// See ranges.hpp.
#include "ranges.hpp"

#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtCudaRt.h>

#include <algorithm>

namespace convoy::cuda {
namespace {

// Of the graph that the stream captures, so far. Nothing throws here: ranges end while errors are on their way, too.
int captured_kernels(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaGraph_t graph = nullptr;
  if (cudaStreamGetCaptureInfo(stream, &status, nullptr, &graph) != cudaSuccess) return 0;
  std::size_t count = 0;
  if (status != cudaStreamCaptureStatusActive || cudaGraphGetNodes(graph, nullptr, &count) != cudaSuccess) return 0;
  std::vector<cudaGraphNode_t> nodes(count);
  if (count == 0 || cudaGraphGetNodes(graph, nodes.data(), &count) != cudaSuccess) return 0;
  return static_cast<int>(std::ranges::count_if(nodes, [](cudaGraphNode_t node) {
    cudaGraphNodeType type{};
    return cudaGraphNodeGetType(node, &type) == cudaSuccess && type == cudaGraphNodeTypeKernel;
  }));
}

}  // namespace

void Ranges::begin(std::string_view name) {
  count();
  nvtxRangePushA(open_.emplace_back(name).c_str());
}

void Ranges::end() {
  count();
  nvtxRangePop();
  open_.pop_back();
}

// What was captured since the last call belongs to the ranges that are open.
void Ranges::count() {
  if (capture_.ranges == nullptr) return;
  int kernels = captured_kernels(stream_);
  for (const RecordedRange& range : *capture_.ranges) kernels -= range.kernels;
  if (kernels > 0) capture_.ranges->push_back({fmt::format("{}", fmt::join(open_, "/")), kernels});
}

void name_stream(cudaStream_t stream, const char* name) { nvtxNameCudaStreamA(stream, name); }

}  // namespace convoy::cuda
