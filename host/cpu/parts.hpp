// How flat arrays are divided among threads: into parts that depend on the length alone, so that sums made of the
// parts' sums are equal to the bit for any number of threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace convoy::cpu {

// Elements of an optimizer's block: weights, gradients and two moments fit in a core's L2 cache.
constexpr std::size_t kUpdateBlock = 8192;

constexpr int kParts = 64;  // enough for the threads of one worker; sums of parts fit on the stack

// Below this many elements a parallel region costs more than the work.
constexpr std::int64_t kWorthThreads = 16384;

inline int useful_threads(std::int64_t elements, int threads) { return elements < kWorthThreads ? 1 : threads; }

// Calls function(part, begin, end) for the kParts parts of [0, count), empty ones too, each beginning at a multiple of
// 16 elements.
template <typename Function>
void for_parts(std::int64_t count, int threads, const Function& function) {
  const std::int64_t length = (count + kParts * 16 - 1) / (kParts * 16) * 16;
#pragma omp parallel for schedule(static) num_threads(useful_threads(count, threads))
  for (int part = 0; part < kParts; ++part) {
    const std::int64_t begin = std::min(count, part * length);
    function(part, begin, std::min(count, begin + length));
  }
}

}  // namespace convoy::cpu
