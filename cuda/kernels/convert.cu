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

// Ranges to widen, an argument of the kernel: nothing to read first. A block takes kBlockElements of one range.
constexpr int kRanges = 96;  // in one launch: a kernel's arguments are at most 4 KiB
constexpr std::size_t kBlockElements = std::size_t{kThreads} * kRun;

struct Ranges {
  ElementRange all[kRanges];
  unsigned first_block[kRanges];
  int count;
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    widen_kernel(const __grid_constant__ Ranges ranges, const T* from, float* to) {
  int i = 0;
  while (i + 1 < ranges.count && blockIdx.x >= ranges.first_block[i + 1]) ++i;
  const ElementRange range = ranges.all[i];
  const std::size_t within = (blockIdx.x - ranges.first_block[i]) * kBlockElements + threadIdx.x * kRun;
  const std::size_t first = range.offset + within;
  if (within + kRun <= range.count && first % kRun == 0) {
    const Run<T> narrow = *reinterpret_cast<const Run<T>*>(from + first);
    WideRun wide;
#pragma unroll
    for (int j = 0; j < kRun; ++j) wide.values[j] = to_float(narrow.values[j]);
    *reinterpret_cast<WideRun*>(to + first) = wide;
    return;
  }
  for (std::size_t j = 0; j < kRun && within + j < range.count; ++j) to[first + j] = to_float(from[first + j]);
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

void widen(std::span<const ElementRange> ranges, const void* from, DType type, float* to, cudaStream_t stream) {
  for (std::size_t done = 0; done < ranges.size(); done += kRanges) {
    Ranges some{};
    unsigned blocks = 0;
    for (const ElementRange& range : ranges.subspan(done, std::min<std::size_t>(kRanges, ranges.size() - done))) {
      some.all[some.count] = range;
      some.first_block[some.count++] = blocks;
      blocks += static_cast<unsigned>((range.count + kBlockElements - 1) / kBlockElements);
    }
    if (blocks == 0) continue;
    dispatch(type, [&]<typename T>() {
      widen_kernel<T><<<blocks, kThreads, 0, stream>>>(some, static_cast<const T*>(from), to);
    });
    CHECK_CUDA(cudaGetLastError());
  }
}

void narrow(const float* from, DType type, std::size_t count, void* to, cudaStream_t stream) {
  dispatch(type, [&]<typename T>() {
    narrow_kernel<T><<<blocks_for(count / kRun), kThreads, 0, stream>>>(from, count, static_cast<T*>(to));
  });
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace convoy::cuda
