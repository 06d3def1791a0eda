// What the kernels of every file share: grids, element types, 16-byte packs. Only .cu files include it.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "check.hpp"
#include "convoy/types.hpp"

namespace convoy::cuda {

constexpr int kWarp = 32;
// Of a block, where a kernel has no reason for another number. Launch bounds of (kThreads, 2) are for kernels that
// spill with (kThreads): ptxas then gives them more registers.
constexpr int kThreads = 256;

// Blocks of kThreads for `work` items, at most as many as keep a large GPU full: kernels loop over the rest.
inline int blocks_for(std::int64_t work, int threads = kThreads) {
  constexpr std::int64_t kMostBlocks = 132 * 16;
  return static_cast<int>(std::clamp<std::int64_t>((work + threads - 1) / threads, 1, kMostBlocks));
}

// Calls function.template operator()<T>() with the element type.
template <typename Function>
void dispatch(DType type, const Function& function) {
  switch (type) {
    case DType::f32:
      return function.template operator()<float>();
    case DType::bf16:
      return function.template operator()<__nv_bfloat16>();
    case DType::f16:
      return function.template operator()<__half>();
  }
}

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float to_float(__half value) { return __half2float(value); }

template <typename T>
__device__ inline T from_float(float value);
template <>
__device__ inline float from_float<float>(float value) {
  return value;
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ inline __half from_float<__half>(float value) {
  return __float2half_rn(value);
}

// Elements that one access of 16 bytes moves; `alignas` makes it one instruction.
template <typename T>
struct alignas(16) Pack {
  static constexpr int kCount = 16 / sizeof(T);
  T values[kCount];
};

inline bool is_aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

}  // namespace convoy::cuda
