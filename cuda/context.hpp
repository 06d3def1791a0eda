// What every operation of the CUDA backend is planned with: the device, its compute stream and the libraries' handles,
// which belong to the backend and outlive every operation.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <cstddef>

#include "convoy/types.hpp"

namespace convoy::cuda {

namespace cudnn {
class PlanChooser;
}

// Bytes that one call of a library may ask for at most; the memory planner shares them among the operations of a step.
constexpr std::size_t kWorkspaceLimit = std::size_t{256} << 20;

struct Context {
  int device = 0;
  cudaStream_t stream = nullptr;  // all computation of a step, in order
  cudnnHandle_t cudnn = nullptr;  // bound to the stream
  cudnn::PlanChooser* plans = nullptr;
  cublasLtHandle_t cublas_lt = nullptr;
  Precision precision = Precision::fp32;
  DType compute = DType::f32;
  bool deterministic = false;
  bool graph = true;  // replay a recorded step as a CUDA graph
};

}  // namespace convoy::cuda
