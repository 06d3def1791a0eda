// Turns the status of a CUDA library's call into an Error that says what failed, where, and on which device.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

namespace convoy::cuda {

// Throw where the status is not success; `call` is the source text of the call.
void check(cudaError_t status, const char* call, const char* file, int line);
void check(cublasStatus_t status, const char* call, const char* file, int line);
void check(cudnnStatus_t status, const char* call, const char* file, int line);

}  // namespace convoy::cuda

#define CHECK_CUDA(call) ::convoy::cuda::check((call), #call, __FILE__, __LINE__)
#define CHECK_CUBLAS(call) ::convoy::cuda::check((call), #call, __FILE__, __LINE__)
#define CHECK_CUDNN(call) ::convoy::cuda::check((call), #call, __FILE__, __LINE__)
