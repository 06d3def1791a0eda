// A kernel that meets a fault: the N-th launch, counted from 1, of a kernel with WORD in its name finds an address that
// is nobody's where its first argument begins, where CONVOY_TEST_FAULT is "WORD N". With CUDA_LAUNCH_BLOCKING=1 the
// launch waits for it, whether or not the runtime here knows that; else, with "WORD N soon", the fault has happened
// after the launch was checked and before the next call, as on a device that is fast.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

#include "real.hpp"

namespace {

// cuda_runtime_api.h's, which a build without CUDA does not have.
using Status = int;
struct Dim3 {
  unsigned x, y, z;
};
using Launch = Status(void*, Dim3, Dim3, void**, std::size_t, void*);

bool is_soon = false;  // a fault that the next check of a launch does not see

struct Wish {
  std::string word, when;
  int number = 0;
};

Wish wish() {
  Wish made;
  const char* text = std::getenv("CONVOY_TEST_FAULT");
  std::istringstream(text != nullptr ? text : "") >> made.word >> made.number >> made.when;
  return made;
}

bool is_asked_for(void* kernel, const Wish& wish) {
  static int launches = 0;
  const char* name = nullptr;
  if (wish.number == 0) return false;
  if (real<Status(const char**, void*)>(kRuntime, "cudaFuncGetName")(&name, kernel) != 0) return false;
  return std::string(name).find(wish.word) != std::string::npos && ++launches == wish.number;
}

Status launch(const char* function, void* kernel, Dim3 grid, Dim3 block, void** arguments, std::size_t shared,
              void* stream) {
  static const Wish wished = wish();
  const auto go = [&] { return real<Launch>(kRuntime, function)(kernel, grid, block, arguments, shared, stream); };
  if (!is_asked_for(kernel, wished)) return go();
  *static_cast<std::uintptr_t*>(arguments[0]) = 0x100;
  const auto wait = [&] { return real<Status(void*)>(kRuntime, "cudaStreamSynchronize")(stream); };
  const char* blocking = std::getenv("CUDA_LAUNCH_BLOCKING");
  const Status status = go();
  if (status != 0) return status;
  if (blocking != nullptr && std::string(blocking) == "1") return wait();
  if (wished.when == "soon") {
    wait();
    is_soon = true;
  }
  return status;
}

}  // namespace

extern "C" {

Status cudaLaunchKernel(void* kernel, Dim3 grid, Dim3 block, void** arguments, std::size_t shared, void* stream) {
  return launch("cudaLaunchKernel", kernel, grid, block, arguments, shared, stream);
}

// What nvcc 13 makes of <<<>>>.
Status __cudaLaunchKernel(void* kernel, Dim3 grid, Dim3 block, void** arguments, std::size_t shared, void* stream) {
  return launch("__cudaLaunchKernel", kernel, grid, block, arguments, shared, stream);
}

Status cudaGetLastError() {
  const Status status = real<Status()>(kRuntime, "cudaGetLastError")();
  if (!is_soon) return status;
  is_soon = false;
  return 0;
}

}  // extern "C"
