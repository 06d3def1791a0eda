// The kernel that says that a computation has come to a collective.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "convoy/device_mark.hpp"

namespace convoy::cuda {

// `arrivals`: how many there were, device memory.
void arrive(DeviceMark* mark, std::uint64_t* arrivals, cudaStream_t stream);

}  // namespace convoy::cuda
