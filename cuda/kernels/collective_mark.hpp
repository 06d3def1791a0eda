// The kernel that says that a computation has come to a collective.
#pragma once

#include <cuda_runtime_api.h>

#include "convoy/device_mark.hpp"

namespace convoy::cuda {

void arrive(DeviceMark* mark, cudaStream_t stream);

}  // namespace convoy::cuda
