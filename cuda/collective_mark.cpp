// See collective_mark.hpp.
#include "collective_mark.hpp"

#include <new>
#include <utility>

#include "check.hpp"
#include "kernels/collective_mark.hpp"

namespace convoy::cuda {

// Whoever lets go of it last may be a thread that knows no device.
CollectiveMark::CollectiveMark(int device) {
  void* memory = nullptr;
  CHECK_CUDA(cudaHostAlloc(&memory, sizeof(DeviceMark), cudaHostAllocMapped | cudaHostAllocPortable));
  mark_ = {new (memory) DeviceMark, [device](DeviceMark* mark) {
             cudaSetDevice(device);
             cudaFreeHost(mark);
           }};
}

void CollectiveMark::arrive(cudaStream_t compute) {
  if (!std::exchange(has_arrived_, true)) cuda::arrive(mark_.get(), compute);
}

DeviceMark* CollectiveMark::leave() { return std::exchange(has_arrived_, false) ? mark_.get() : nullptr; }

void CollectiveMark::settle() {
  if (DeviceMark* left = leave()) left->is_waiting = 0;
}

}  // namespace convoy::cuda
