// The CUDA backend: one GPU of one worker. cuDNN convolves, cuBLAS multiplies, own kernels do the rest; everything of
// a step is enqueued on one stream and replayed as a CUDA graph.
#pragma once

#include <memory>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "convoy/device_module.hpp"

namespace convoy::cuda {

// Throws Error where the device cannot be used.
std::unique_ptr<Backend> make_backend(const DeviceRequest&);

// See DeviceModule::connect.
std::unique_ptr<Communicator> connect(Communicator& workers, Backend& backend, const ConnectRequest&);

}  // namespace convoy::cuda
