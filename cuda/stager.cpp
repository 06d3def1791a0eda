// A slot's way: pinned memory -> the slot's device memory on the copy stream -> the step's fixed batch buffer on the
// compute stream. The second copy lets a step be one graph whatever slot its batch comes from; it reads and writes a
// batch once inside the device (2 * 6.1 MB, some 4 us of an H100, for 2000 CIFAR images), and frees the slot at the
// beginning of the step.
// Two events a slot: `sent` (copy stream) orders copy -> compute, and tells the host that the pinned memory is free;
// `received` (compute stream) orders compute -> the slot's next copy.
#include "stager.hpp"

#include <utility>
#include <vector>

#include "check.hpp"
#include "convoy/error.hpp"
#include "event.hpp"
#include "handles.hpp"
#include "ranges.hpp"

namespace convoy::cuda {
namespace {

using Pinned = Owned<void*, cudaFreeHost>;

Pinned make_pinned(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaHostAlloc(&memory, bytes, cudaHostAllocDefault);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // forget it: the next check must not report it again
    fail(
        "{:.1f} MB of pinned host memory for staged batches are not to be had: a smaller --batch or --evaluation-batch "
        "needs less",
        static_cast<double>(bytes) / 1e6);
  }
  CHECK_CUDA(status);
  return Pinned(memory);
}

class CudaStager final : public Stager {
 public:
  CudaStager(const Context& context, Arena memory, int slots, std::size_t bytes)
      : device_(context.device),
        compute_(context.stream),
        bytes_(bytes),
        memory_(std::move(memory)),
        pinned_(make_pinned(static_cast<std::size_t>(slots) * bytes)) {
    cudaStream_t stream = nullptr;
    CHECK_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    copy_.reset(stream);
    name_stream(stream, "copies");
    for (int i = 0; i < slots; ++i) {
      slots_.push_back(
          {make_event(cudaEventDisableTiming | cudaEventBlockingSync), make_event(cudaEventDisableTiming)});
      CHECK_CUDA(cudaEventRecord(slots_.back().received.get(), compute_));  // after the memory was zeroed
    }
  }
  ~CudaStager() override { cudaStreamSynchronize(copy_.get()); }

  int slots() const override { return static_cast<int>(slots_.size()); }

  std::byte* claim(int slot) override {
    CHECK_CUDA(cudaSetDevice(device_));  // the calling thread may be new to it
    CHECK_CUDA(cudaEventSynchronize(at(slot).sent.get()));
    return static_cast<std::byte*>(pinned_.get()) + offset(slot);
  }

  void send(int slot, std::size_t bytes) override {
    CHECK_CUDA(cudaSetDevice(device_));
    CHECK_CUDA(cudaStreamWaitEvent(copy_.get(), at(slot).received.get(), 0));
    CHECK_CUDA(cudaMemcpyAsync(memory_.at(offset(slot)), static_cast<std::byte*>(pinned_.get()) + offset(slot), bytes,
                               cudaMemcpyHostToDevice, copy_.get()));
    CHECK_CUDA(cudaEventRecord(at(slot).sent.get(), copy_.get()));
  }

  void receive(int slot, void* to, std::size_t bytes) override {
    CHECK_CUDA(cudaStreamWaitEvent(compute_, at(slot).sent.get(), 0));
    CHECK_CUDA(cudaMemcpyAsync(to, memory_.at(offset(slot)), bytes, cudaMemcpyDeviceToDevice, compute_));
    CHECK_CUDA(cudaEventRecord(at(slot).received.get(), compute_));
  }

 private:
  struct Slot {
    Event sent, received;
  };
  const Slot& at(int slot) const { return slots_[static_cast<std::size_t>(slot)]; }
  std::size_t offset(int slot) const { return static_cast<std::size_t>(slot) * bytes_; }

  int device_;
  cudaStream_t compute_;
  std::size_t bytes_;  // of a slot
  Arena memory_;
  Pinned pinned_;
  std::vector<Slot> slots_;
  Stream copy_;
};

}  // namespace

std::unique_ptr<Stager> make_stager(const Context& context, Arena memory, int slots, std::size_t bytes) {
  return std::make_unique<CudaStager>(context, std::move(memory), slots, bytes);
}

}  // namespace convoy::cuda
