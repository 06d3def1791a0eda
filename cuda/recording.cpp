// See recording.hpp.
#include "recording.hpp"

#include <array>
#include <utility>

#include "check.hpp"
#include "event.hpp"
#include "handles.hpp"

namespace convoy::cuda {
namespace {

class GraphRecording final : public Recording {
 public:
  GraphRecording(std::function<void()> step, cudaStream_t stream, Capture& capture)
      : step_(std::move(step)), stream_(stream), capture_(capture) {}

  void replay() override {
    if (!is_warm_) {
      step_();
      is_warm_ = true;
      return;
    }
    if (!executable_) capture();
    for (const std::function<void()>& call : before_replay_) call();
    const Event& four_back = replayed_[replays_++ % replayed_.size()];
    CHECK_CUDA(cudaEventSynchronize(four_back.get()));
    CHECK_CUDA(cudaGraphLaunch(executable_.get(), stream_));
    CHECK_CUDA(cudaEventRecord(four_back.get(), stream_));
  }

  std::vector<RecordedRange> ranges() const override { return ranges_; }

 private:
  void capture() {
    // Thread-local: other workers of this process may allocate meanwhile.
    CHECK_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    cudaGraph_t captured = nullptr;
    before_replay_.clear();
    ranges_.clear();
    capture_ = {.before_replay = &before_replay_, .ranges = &ranges_};
    try {
      step_();
      capture_ = {};
    } catch (...) {
      capture_ = {};
      cudaStreamEndCapture(stream_, &captured);
      if (captured != nullptr) cudaGraphDestroy(captured);
      throw;
    }
    CHECK_CUDA(cudaStreamEndCapture(stream_, &captured));
    const Graph graph(captured);
    cudaGraphExec_t executable = nullptr;
    // Nodes keep the priority of the stream that they were captured from, which for collectives is above the launching
    // one's.
    CHECK_CUDA(cudaGraphInstantiate(&executable, graph.get(), cudaGraphInstantiateFlagUseNodePriority));
    executable_.reset(executable);
    for (Event& event : replayed_) event = make_event(cudaEventDisableTiming | cudaEventBlockingSync);
  }

  std::function<void()> step_;
  cudaStream_t stream_;
  Capture& capture_;
  std::vector<std::function<void()>> before_replay_;
  std::vector<RecordedRange> ranges_;
  bool is_warm_ = false;
  GraphExec executable_;
  // The host runs ahead of the device by so many replays, not by as many as fit into a queue: what it says of its
  // progress, and when it obeys, is then at most so many steps old.
  std::array<Event, 4> replayed_;
  std::size_t replays_ = 0;
};

class Calls final : public Recording {
 public:
  explicit Calls(std::function<void()> step) : step_(std::move(step)) {}
  void replay() override { step_(); }

 private:
  std::function<void()> step_;
};

}  // namespace

std::unique_ptr<Recording> record_calls(std::function<void()> step) { return std::make_unique<Calls>(std::move(step)); }

std::unique_ptr<Recording> record_graph(std::function<void()> step, cudaStream_t stream, Capture& capture) {
  return std::make_unique<GraphRecording>(std::move(step), stream, capture);
}

}  // namespace convoy::cuda
