// One thread's access to neighbouring elements: 16 bytes in one instruction, or a single element where a row does not
// divide so. Only .cu files include it.
#pragma once

#include "kernels/launch.hpp"

namespace convoy::cuda {

// As it lies in memory: half the registers of the fp32 values.
template <typename T, int kCount>
struct Access {
  static_assert(sizeof(T) * kCount == 16);
  uint4 bits;
};
template <typename T>
struct Access<T, 1> {
  T value;
};

template <typename T, int kCount>
__device__ inline Access<T, kCount> read(const void* tensor, std::int64_t element) {
  return *reinterpret_cast<const Access<T, kCount>*>(static_cast<const T*>(tensor) + element);
}

template <typename T>
__device__ inline void widen(const Access<T, 1>& from, float (&to)[1]) {
  to[0] = to_float(from.value);
}
__device__ inline void widen(const Access<float, 4>& from, float (&to)[4]) {
  to[0] = __uint_as_float(from.bits.x);
  to[1] = __uint_as_float(from.bits.y);
  to[2] = __uint_as_float(from.bits.z);
  to[3] = __uint_as_float(from.bits.w);
}
// bf16 is the upper half of fp32.
__device__ inline void widen(const Access<__nv_bfloat16, 8>& from, float (&to)[8]) {
  const unsigned words[] = {from.bits.x, from.bits.y, from.bits.z, from.bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = __uint_as_float(words[i] << 16);
    to[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000U);
  }
}
__device__ inline void widen(const Access<__half, 8>& from, float (&to)[8]) {
  const unsigned words[] = {from.bits.x, from.bits.y, from.bits.z, from.bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = __half22float2(*reinterpret_cast<const __half2*>(&words[i]));
    to[2 * i] = pair.x;
    to[2 * i + 1] = pair.y;
  }
}

template <typename T>
__device__ inline Access<T, 1> narrow(const float (&from)[1]) {
  return {from_float<T>(from[0])};
}
__device__ inline unsigned narrow_pair(float low, float high, __nv_bfloat16) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&pair);
}
__device__ inline unsigned narrow_pair(float low, float high, __half) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&pair);
}
template <typename T>
__device__ inline Access<T, 4> narrow(const float (&from)[4]) {
  return {{__float_as_uint(from[0]), __float_as_uint(from[1]), __float_as_uint(from[2]), __float_as_uint(from[3])}};
}
template <typename T>
__device__ inline Access<T, 8> narrow(const float (&from)[8]) {
  return {{narrow_pair(from[0], from[1], T{}), narrow_pair(from[2], from[3], T{}), narrow_pair(from[4], from[5], T{}),
           narrow_pair(from[6], from[7], T{})}};
}

template <typename T, int kCount>
__device__ inline void write(void* tensor, std::int64_t element, const Access<T, kCount>& access) {
  *reinterpret_cast<Access<T, kCount>*>(static_cast<T*>(tensor) + element) = access;
}
template <typename T, int kCount>
__device__ inline void write(void* tensor, std::int64_t element, const float (&values)[kCount]) {
  write(tensor, element, narrow<T>(values));
}

// Small integers beside a tensor's elements: kCount of them in one access.
template <typename Integer, int kCount>
struct alignas(sizeof(Integer) * kCount) Places {
  Integer values[kCount];
};

template <typename Integer, int kCount>
__device__ inline Places<Integer, kCount> read_places(const void* places, std::int64_t element) {
  return *reinterpret_cast<const Places<Integer, kCount>*>(static_cast<const Integer*>(places) + element);
}

template <typename Integer, int kCount>
__device__ inline void write_places(void* places, std::int64_t element, const int (&values)[kCount]) {
  Places<Integer, kCount> narrow;
#pragma unroll
  for (int i = 0; i < kCount; ++i) narrow.values[i] = static_cast<Integer>(values[i]);
  *reinterpret_cast<Places<Integer, kCount>*>(static_cast<Integer*>(places) + element) = narrow;
}

}  // namespace convoy::cuda
