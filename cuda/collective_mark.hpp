// Writes this device's DeviceMark from the compute stream, in recorded steps too: by a kernel of its own where the
// computation comes to a collective, and by the next kernel that scales where it goes on.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "convoy/device_mark.hpp"

namespace convoy::cuda {

class CollectiveMark {
 public:
  explicit CollectiveMark(int device);

  std::shared_ptr<const DeviceMark> mark() const { return mark_; }
  // Before anything that makes `compute` wait for other ranks. Several without a `leave` between them are one.
  void arrive(cudaStream_t compute);
  // What the kernel that is enqueued next is to mark as no longer waiting; null where nothing has arrived.
  DeviceMark* leave();
  // Nothing that was enqueued on `compute` is left, whether or not a kernel came after the last arrival.
  void settle();

 private:
  std::shared_ptr<DeviceMark> mark_;
  bool has_arrived_ = false;  // as enqueued
};

}  // namespace convoy::cuda
