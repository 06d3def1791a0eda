// See check.hpp.
#include "check.hpp"

#include <cstdlib>
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

// A kernel meets these while it runs, and whichever call comes next reports it.
bool is_fault_of_a_kernel(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
      return true;
    default:
      return false;
  }
}

// Whether the runtime waits for each kernel where it is launched, by the user's wish.
bool launches_wait() {
  const char* wish = std::getenv("CUDA_LAUNCH_BLOCKING");
  return wish != nullptr && std::string_view(wish) == "1";
}

constexpr const char* kHowToFind =
    "; the kernel ran before: the same with CUDA_LAUNCH_BLOCKING=1 and --no-graph names its operation";

// What a library's call says beside its own status where a kernel, be it the call's own, has met a fault. The runtime
// tells of it in answer to any call that asks the device.
std::string fault() {
  std::size_t free = 0, total = 0;
  const cudaError_t status = cudaMemGetInfo(&free, &total);
  if (!is_fault_of_a_kernel(status)) return "";
  return fmt::format(": {} ({}){}", cudaGetErrorString(status), cudaGetErrorName(status),
                     launches_wait() ? "" : kHowToFind);
}

}  // namespace

void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  // What launchers ask right behind a kernel.
  const bool is_of_this_kernel = launches_wait() && std::string_view(call).starts_with("cudaGetLastError");
  fail("GPU {}: {}: {} ({}){}", device(), place(call, file, line), cudaGetErrorString(status), cudaGetErrorName(status),
       is_fault_of_a_kernel(status) && !is_of_this_kernel ? kHowToFind : "");
}

void check(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail("GPU {}: {}: cuBLAS says {}{}", device(), place(call, file, line), cublasGetStatusString(status), fault());
}

void check(cudnnStatus_t status, const char* call, const char* file, int line) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char more[512] = {};
  cudnnGetLastErrorString(more, sizeof more);
  fail("GPU {}: {}: cuDNN says {}{}{}{}", device(), place(call, file, line), cudnnGetErrorString(status),
       more[0] == '\0' ? "" : ": ", more, fault());
}

}  // namespace convoy::cuda
