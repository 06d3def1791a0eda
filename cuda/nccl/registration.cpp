// Windows came with NCCL 2.27 and are looked up in the library that runs, whatever the headers were.
#include "nccl/registration.hpp"

#include <dlfcn.h>

#include "convoy/error.hpp"
#include "nccl/nccl_call.hpp"

namespace convoy::cuda {
namespace {

constexpr int kSymmetric = 1;  // NCCL_WIN_COLL_SYMMETRIC
using RegisterWindow = ncclResult_t(ncclComm_t, void*, std::size_t, void** window, int flags);
using DeregisterWindow = ncclResult_t(ncclComm_t, void* window);

template <typename Function>
Function* find_function(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

bool is_accepted(ncclResult_t status) { return status == ncclSuccess || status == ncclInProgress; }

// An Attachment ends without throwing: whoever uses the communicator next is told what went wrong.
void settle(ncclResult_t status, ncclComm_t group, std::chrono::duration<double> limit) noexcept {
  if (status != ncclInProgress) return;
  try {
    await(group, limit, "giving memory back");
  } catch (const Error&) {
  }
}

Attachment register_window(ncclComm_t group, const Arena& arena, std::chrono::duration<double> limit) {
  auto* add = find_function<RegisterWindow>("ncclCommWindowRegister");
  auto* remove = find_function<DeregisterWindow>("ncclCommWindowDeregister");
  void* window = nullptr;
  if (add == nullptr || remove == nullptr ||
      !is_accepted(add(group, arena.data(), arena.bytes(), &window, kSymmetric))) {
    return nullptr;
  }
  await(group, limit, "registering a window (with NCCL_WIN_ENABLE=0 there are none)");
  if (window == nullptr) return nullptr;
  return {window, [=](void* registered) { settle(remove(group, registered), group, limit); }};
}

}  // namespace

void* allocate_registrable(std::size_t bytes) {
  void* data = nullptr;
  return ncclMemAlloc(&data, bytes) == ncclSuccess ? data : nullptr;
}

void free_registrable(void* data) noexcept { ncclMemFree(data); }

Attachment register_memory(ncclComm_t group, Communicator& host, const Arena& arena, Use use,
                           std::chrono::duration<double> limit) {
  if (arena.bytes() == 0) return nullptr;
  if (use == Use::most) {
    Attachment window = register_window(group, arena, limit);
    // Collectives take other kernels where there is a window: all ranks have one, or none.
    if (host.min_max(window != nullptr).least == 1) return window;
  }
  void* handle = nullptr;
  if (!is_accepted(ncclCommRegister(group, arena.data(), arena.bytes(), &handle))) return nullptr;
  await(group, limit, "registering memory");
  if (handle == nullptr) return nullptr;
  return {handle, [=](void* registered) { settle(ncclCommDeregister(group, registered), group, limit); }};
}

}  // namespace convoy::cuda
