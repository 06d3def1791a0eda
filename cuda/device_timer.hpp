// Times by events on the compute stream.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "convoy/device_timer.hpp"

namespace convoy::cuda {

std::unique_ptr<DeviceTimer> make_timer(int marks, cudaStream_t stream);

}  // namespace convoy::cuda
