// Reductions within a warp, a block and a grid, in an order that depends on the sizes alone. Only .cu files include it.
#pragma once

#include <cstring>

#include "kernels/launch.hpp"
#include "kernels/reduction.hpp"

namespace convoy::cuda {

constexpr unsigned kWholeWarp = 0xFFFFFFFFu;

// A value of any size as the words that shuffles and cached loads move.
template <typename T>
struct Words {
  static_assert(sizeof(T) % 4 == 0);
  static constexpr int kCount = sizeof(T) / 4;
  std::uint32_t words[kCount];
};

template <typename T, typename Move>
__device__ T moved(const T& value, const Move& move) {
  Words<T> words;
  memcpy(&words, &value, sizeof words);
#pragma unroll
  for (std::uint32_t& word : words.words) word = move(word);
  T result;
  memcpy(&result, &words, sizeof words);
  return result;
}

// In every lane.
template <typename T, typename Combine>
__device__ T warp_reduce(T value, const Combine& combine) {
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    value = combine(value, moved(value, [&](std::uint32_t word) { return __shfl_xor_sync(kWholeWarp, word, lanes); }));
  }
  return value;
}

// In thread 0 of a block of kThreads; every thread calls it. A barrier must lie between two calls.
template <typename T, typename Combine>
__device__ T block_reduce(T value, const Combine& combine) {
  __shared__ Words<T> warps[kThreads / kWarp];
  value = warp_reduce(value, combine);
  if (threadIdx.x % kWarp == 0) memcpy(&warps[threadIdx.x / kWarp], &value, sizeof value);
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int warp = 1; warp < kThreads / kWarp; ++warp) {
      T other;
      memcpy(&other, &warps[warp], sizeof other);
      value = combine(value, other);
    }
  }
  return value;
}

// True in the last of the blocks [:, blockIdx.y] to come here: what the others wrote before is there to be read
// (__ldcg). `counters` [gridDim.y] are zero before the first launch and after each.
__device__ inline bool is_last_block(unsigned* counters) {
  __shared__ bool is_last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    // Wraps around to 0.
    is_last = atomicInc(counters + blockIdx.y, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (is_last) __threadfence();
  return is_last;
}

// Combines every thread's value; calls finish(total) in one thread of the block that comes last. `none` changes nothing
// that it is combined with.
template <typename T, typename Combine, typename Finish>
__device__ void grid_reduce(T value, T none, const Combine& combine, ReductionScratch* scratch, const Finish& finish) {
  static_assert(sizeof(T) <= kReductionPart);
  __shared__ bool is_last;
  auto* parts = reinterpret_cast<Words<T>*>(scratch->parts);
  value = block_reduce(value, combine);
  if (threadIdx.x == 0) {
    memcpy(&parts[blockIdx.x], &value, sizeof value);
    __threadfence();  // the part is there before it is counted
    is_last = atomicAdd(&scratch->blocks_done, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (!is_last) return;
  value = none;
  for (unsigned part = threadIdx.x; part < gridDim.x; part += kThreads) {
    Words<T> words;
#pragma unroll
    for (int i = 0; i < Words<T>::kCount; ++i) words.words[i] = __ldcg(&parts[part].words[i]);
    T other;
    memcpy(&other, &words, sizeof other);
    value = combine(value, other);
  }
  value = block_reduce(value, combine);
  if (threadIdx.x == 0) {
    scratch->blocks_done = 0;
    finish(value);
  }
}

}  // namespace convoy::cuda
