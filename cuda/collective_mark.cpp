// See collective_mark.hpp.
#include "collective_mark.hpp"

#include <new>
#include <utility>

#include "check.hpp"
#include "kernels/collective_mark.hpp"

namespace convoy::cuda {

// Whoever lets go of it last may be a thread that knows no device.
CollectiveMark::CollectiveMark(int device, cudaStream_t compute)
    : compute_(compute), arrivals_(allocate_memory(sizeof(std::uint64_t))) {
  CHECK_CUDA(cudaMemsetAsync(arrivals_.get(), 0, sizeof(std::uint64_t), compute));
  void* memory = nullptr;
  CHECK_CUDA(cudaHostAlloc(&memory, sizeof(DeviceMark), cudaHostAllocMapped | cudaHostAllocPortable));
  mark_ = {new (memory) DeviceMark, [device](DeviceMark* mark) {
             cudaSetDevice(device);
             cudaFreeHost(mark);
           }};
}

void CollectiveMark::arrive() {
  if (std::exchange(has_arrived_, true)) return;
  cuda::arrive(mark_.get(), static_cast<std::uint64_t*>(arrivals_.get()), compute_);
}

DeviceMark* CollectiveMark::leave() { return std::exchange(has_arrived_, false) ? mark_.get() : nullptr; }

void CollectiveMark::settle() {
  if (DeviceMark* left = leave()) left->is_waiting = 0;
}

}  // namespace convoy::cuda
