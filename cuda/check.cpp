// See check.hpp.
#include "check.hpp"

#include <string_view>

#include "convoy/error.hpp"

namespace convoy::cuda {
namespace {

// "src/cuda/pool.cpp:12: cudaFree(data)" without folders and arguments.
std::string place(const char* call, const char* file, int line) {
  const std::string_view path = file, text = call;
  const std::size_t slash = path.rfind('/');
  return fmt::format("{} ({}:{})", text.substr(0, text.find('(')),
                     slash == std::string_view::npos ? path : path.substr(slash + 1), line);
}

// The current device, without asking a library that has just failed for more than its number.
int device() {
  int index = -1;
  cudaGetDevice(&index);
  return index;
}

}  // namespace

void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  fail("GPU {}: {}: {} ({})", device(), place(call, file, line), cudaGetErrorString(status), cudaGetErrorName(status));
}

void check(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail("GPU {}: {}: cuBLAS says {}", device(), place(call, file, line), cublasGetStatusString(status));
}

void check(cudnnStatus_t status, const char* call, const char* file, int line) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char more[512] = {};
  cudnnGetLastErrorString(more, sizeof more);
  fail("GPU {}: {}: cuDNN says {}{}{}", device(), place(call, file, line), cudnnGetErrorString(status),
       more[0] == '\0' ? "" : ": ", more);
}

}  // namespace convoy::cuda
