// The function that a preloaded library stands before, in a library that is the CUDA module's: that one was not loaded
// for all, so RTLD_NEXT does not see it.
#pragma once

#include <dlfcn.h>

constexpr const char* kRuntime = "libcudart.so.13";
constexpr const char* kNccl = "libnccl.so.2";

template <typename Function>
Function* real(const char* library, const char* name) {
  void* handle = ::dlopen(library, RTLD_LAZY);
  return reinterpret_cast<Function*>(handle == nullptr ? nullptr : ::dlsym(handle, name));
}
