// What every operation of the CUDA backend is planned with: the device, its compute stream and the libraries' handles,
// which belong to the backend and outlive every operation.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <algorithm>
#include <cstddef>

#include "convoy/types.hpp"

namespace convoy::cuda {

namespace cudnn {
class PlanChooser;
}

// Bytes that one call of a library may ask for, on a device of so many; the memory planner shares them among the
// operations of a step. In fp32 and tf32 cuDNN turns whole tensors there, and with less than it wants for that it has
// only its plainest loops left: 0.7 GB for the zoo at batch 2000.
constexpr std::size_t kMostWorkspace = std::size_t{1} << 30;
constexpr std::size_t workspace_limit(std::size_t device_bytes) { return std::min(kMostWorkspace, device_bytes / 16); }

struct Context {
  int device = 0;
  cudaStream_t stream = nullptr;  // all computation of a step, in order
  cudnnHandle_t cudnn = nullptr;  // bound to the stream
  cudnn::PlanChooser* plans = nullptr;
  cublasLtHandle_t cublas_lt = nullptr;
  Precision precision = Precision::fp32;
  DType compute = DType::f32;
  std::size_t workspace_limit = kMostWorkspace;
  bool deterministic = false;
  bool has_device_alone = true;  // in the forward pass and the update: no collective runs beside them
  bool graph = true;             // replay a recorded step as a CUDA graph
};

}  // namespace convoy::cuda
