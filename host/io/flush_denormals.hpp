// Numbers below 1.2e-38 as zero, in what they are computed from and in results, for the calling thread and the threads
// that it starts. A filter that ReLU has switched off has no gradient, and its moments decay to such numbers and stay
// there; Intel's processors take over a hundred cycles for each product with one.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace convoy {

inline void flush_denormals() {
#if defined(__SSE2__)
  constexpr unsigned kFlushResults = 0x8000, kOperandsAreZero = 0x0040;
  _mm_setcsr(_mm_getcsr() | kFlushResults | kOperandsAreZero);
#elif defined(__aarch64__)
  constexpr std::uint64_t kFlush = std::uint64_t{1} << 24;  // both
  std::uint64_t control;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" ::"r"(control | kFlush));
#endif
}

}  // namespace convoy
