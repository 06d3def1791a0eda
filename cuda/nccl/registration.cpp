// Windows came with NCCL 2.27 and are looked up in the library that runs, whatever the headers were.
#include "nccl/registration.hpp"

#include <dlfcn.h>

#include "nccl/nccl_call.hpp"

namespace convoy::cuda {
namespace {

constexpr int kSymmetric = 1;  // NCCL_WIN_COLL_SYMMETRIC
using RegisterWindow = ncclResult_t(ncclComm_t, void*, std::size_t, void** window, int flags);
using DeregisterWindow = ncclResult_t(ncclComm_t, void* window);

template <typename Function>
Function* find_function(const char* name) {
  void* library = dlopen("libnccl.so.2", RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return nullptr;
  auto* function = reinterpret_cast<Function*>(dlsym(library, name));
  dlclose(library);  // which this module holds open
  return function;
}

bool is_accepted(ncclResult_t status) { return status == ncclSuccess || status == ncclInProgress; }

Attachment register_window(ncclComm_t group, const Arena& arena, std::chrono::duration<double> limit) {
  auto* add = find_function<RegisterWindow>("ncclCommWindowRegister");
  auto* remove = find_function<DeregisterWindow>("ncclCommWindowDeregister");
  void* window = nullptr;
  if (add == nullptr || remove == nullptr ||
      !is_accepted(add(group, arena.data(), arena.bytes(), &window, kSymmetric))) {
    return nullptr;
  }
  await(group, limit, "registering a window");
  if (window == nullptr) return nullptr;
  return {window, [group, remove](void* registered) { remove(group, registered); }};
}

}  // namespace

void* allocate_registrable(std::size_t bytes) {
  void* data = nullptr;
  return ncclMemAlloc(&data, bytes) == ncclSuccess ? data : nullptr;
}

void free_registrable(void* data) noexcept { ncclMemFree(data); }

Attachment register_memory(ncclComm_t group, const Arena& arena, Use use, std::chrono::duration<double> limit) {
  if (arena.bytes() == 0) return nullptr;
  if (use == Use::most) {
    if (Attachment window = register_window(group, arena, limit)) return window;
  }
  void* handle = nullptr;
  if (!is_accepted(ncclCommRegister(group, arena.data(), arena.bytes(), &handle))) return nullptr;
  await(group, limit, "registering memory");
  if (handle == nullptr) return nullptr;
  return {handle, [group](void* registered) { ncclCommDeregister(group, registered); }};
}

}  // namespace convoy::cuda
