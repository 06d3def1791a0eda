// See device_timer.hpp.
#include "device_timer.hpp"

#include <cstddef>

#include "check.hpp"
#include "convoy/error.hpp"
#include "event.hpp"

namespace convoy::cuda {
namespace {

class EventTimer final : public DeviceTimer {
 public:
  EventTimer(int marks, cudaStream_t stream) : stream_(stream) {
    for (int i = 0; i < marks; ++i) events_.push_back(make_event());
  }

  void mark() override {
    CONVOY_CHECK(marked_ < events_.size(), "a timer of {} marks is marked once more", events_.size());
    CHECK_CUDA(cudaEventRecord(events_[marked_++].get(), stream_));
  }

  std::vector<double> intervals() override {
    std::vector<double> seconds;
    if (marked_ > 0) CHECK_CUDA(cudaEventSynchronize(events_[marked_ - 1].get()));
    for (std::size_t i = 1; i < marked_; ++i) {
      float milliseconds = 0;
      CHECK_CUDA(cudaEventElapsedTime(&milliseconds, events_[i - 1].get(), events_[i].get()));
      seconds.push_back(1e-3 * static_cast<double>(milliseconds));
    }
    marked_ = 0;
    return seconds;
  }

 private:
  cudaStream_t stream_;
  std::vector<Event> events_;
  std::size_t marked_ = 0;
};

}  // namespace

std::unique_ptr<DeviceTimer> make_timer(int marks, cudaStream_t stream) {
  return std::make_unique<EventTimer>(marks, stream);
}

}  // namespace convoy::cuda
