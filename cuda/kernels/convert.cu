// See convert.hpp. One pass, eight elements a thread and access.
#include "kernels/convert.hpp"
#include "kernels/launch.hpp"

namespace convoy::cuda {
namespace {

constexpr int kRun = 8;  // elements: two accesses of 16 bytes on the wide side, one on the narrow

struct alignas(32) WideRun {
  float values[kRun];
};

template <typename T>
struct alignas(16) Run {
  T values[kRun];
};

template <typename T>
__global__ void widen_kernel(const T* from, std::size_t count, float* to) {
  const std::size_t runs = count / kRun, stride = std::size_t{gridDim.x} * blockDim.x;
  const std::size_t thread = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (std::size_t run = thread; run < runs; run += stride) {
    const Run<T> narrow = reinterpret_cast<const Run<T>*>(from)[run];
    WideRun wide;
#pragma unroll
    for (int i = 0; i < kRun; ++i) wide.values[i] = to_float(narrow.values[i]);
    reinterpret_cast<WideRun*>(to)[run] = wide;
  }
  for (std::size_t i = runs * kRun + thread; i < count; i += stride) to[i] = to_float(from[i]);
}

template <typename T>
__global__ void narrow_kernel(const float* from, std::size_t count, T* to) {
  const std::size_t runs = count / kRun, stride = std::size_t{gridDim.x} * blockDim.x;
  const std::size_t thread = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (std::size_t run = thread; run < runs; run += stride) {
    const WideRun wide = reinterpret_cast<const WideRun*>(from)[run];
    Run<T> narrow;
#pragma unroll
    for (int i = 0; i < kRun; ++i) narrow.values[i] = from_float<T>(wide.values[i]);
    reinterpret_cast<Run<T>*>(to)[run] = narrow;
  }
  for (std::size_t i = runs * kRun + thread; i < count; i += stride) to[i] = from_float<T>(from[i]);
}

}  // namespace

// Both sides start at multiples of kAlignment in their arenas.
void widen(const void* from, DType type, std::size_t count, float* to, cudaStream_t stream) {
  dispatch(type, [&]<typename T>() {
    widen_kernel<T><<<blocks_for(count / kRun), kThreads, 0, stream>>>(static_cast<const T*>(from), count, to);
  });
  CHECK_CUDA(cudaGetLastError());
}

void narrow(const float* from, DType type, std::size_t count, void* to, cudaStream_t stream) {
  dispatch(type, [&]<typename T>() {
    narrow_kernel<T><<<blocks_for(count / kRun), kThreads, 0, stream>>>(from, count, static_cast<T*>(to));
  });
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace convoy::cuda
