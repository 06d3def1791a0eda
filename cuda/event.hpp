// Events of the current device: points of a stream that others wait for, or that are told apart in time.
#pragma once

#include <cuda_runtime_api.h>

#include "check.hpp"
#include "handles.hpp"

namespace convoy::cuda {

inline Event make_event(unsigned flags = cudaEventDefault) {
  cudaEvent_t event = nullptr;
  CHECK_CUDA(cudaEventCreateWithFlags(&event, flags));
  return Event(event);
}

}  // namespace convoy::cuda
