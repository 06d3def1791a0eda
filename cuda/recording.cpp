// See recording.hpp.
#include "recording.hpp"

#include <utility>

#include "check.hpp"
#include "handles.hpp"

namespace convoy::cuda {
namespace {

class GraphRecording final : public Recording {
 public:
  GraphRecording(std::function<void()> step, cudaStream_t stream) : step_(std::move(step)), stream_(stream) {}

  void replay() override {
    if (!is_warm_) {
      step_();
      is_warm_ = true;
      return;
    }
    if (!executable_) capture();
    CHECK_CUDA(cudaGraphLaunch(executable_.get(), stream_));
  }

 private:
  void capture() {
    // Thread-local: other workers of this process may allocate meanwhile.
    CHECK_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    cudaGraph_t captured = nullptr;
    try {
      step_();
    } catch (...) {
      cudaStreamEndCapture(stream_, &captured);
      if (captured != nullptr) cudaGraphDestroy(captured);
      throw;
    }
    CHECK_CUDA(cudaStreamEndCapture(stream_, &captured));
    const Graph graph(captured);
    cudaGraphExec_t executable = nullptr;
    CHECK_CUDA(cudaGraphInstantiate(&executable, graph.get(), 0));
    executable_.reset(executable);
  }

  std::function<void()> step_;
  cudaStream_t stream_;
  bool is_warm_ = false;
  GraphExec executable_;
};

}  // namespace

std::unique_ptr<Recording> record_graph(std::function<void()> step, cudaStream_t stream) {
  return std::make_unique<GraphRecording>(std::move(step), stream);
}

}  // namespace convoy::cuda
