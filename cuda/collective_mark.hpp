// Writes this device's DeviceMark from the compute stream, in recorded steps too: by a kernel of its own where the
// computation comes to a collective, and by the next kernel that scales where it goes on.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "convoy/device_mark.hpp"
#include "device_memory.hpp"

namespace convoy::cuda {

class CollectiveMark {
 public:
  CollectiveMark(int device, cudaStream_t compute);

  std::shared_ptr<const DeviceMark> mark() const { return mark_; }
  // Before anything that makes the compute stream wait for other ranks. Several without a `leave` between them are one.
  void arrive();
  // What the kernel that is enqueued next is to mark as no longer waiting; null where nothing has arrived.
  DeviceMark* leave();
  // Nothing that was enqueued on the compute stream is left, whether or not a kernel came after the last arrival.
  void settle();

 private:
  cudaStream_t compute_;
  DeviceMemory arrivals_;  // how many
  std::shared_ptr<DeviceMark> mark_;
  bool has_arrived_ = false;  // as enqueued
};

}  // namespace convoy::cuda
