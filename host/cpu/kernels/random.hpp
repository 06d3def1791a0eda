// Philox4x32-10 for kernels: the same bits as convoy/philox.hpp, whose inline functions must not be compiled here
// (see providers.hpp). A test compares the two.
#pragma once

#include <cstdint>

#ifndef CONVOY_ISA
#error "CMake compiles this file once per instruction set with -DCONVOY_ISA=baseline|avx2|avx512"
#endif

namespace convoy::cpu::CONVOY_ISA {

// Draws for consecutive indices: word[k][i] is word k of random_bits(seed, purpose, epoch, first + i, salt).
template <int count>
struct RandomWords {
  std::uint32_t word[4][count];
};

template <int count>
inline void draw(std::uint64_t seed, std::uint32_t purpose, std::uint32_t epoch, std::uint64_t first,
                 std::uint32_t salt, RandomWords<count>* words) {
#pragma omp simd
  for (int i = 0; i < count; ++i) {
    const std::uint64_t index = first + static_cast<std::uint64_t>(i);
    auto x = static_cast<std::uint32_t>(index);
    std::uint32_t y = (static_cast<std::uint32_t>(index >> 32) & 0xFFFU) | (salt << 12);
    std::uint32_t z = epoch, w = purpose;
    auto key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * x;
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * z;
      x = static_cast<std::uint32_t>(product1 >> 32) ^ y ^ key0;
      y = static_cast<std::uint32_t>(product1);
      z = static_cast<std::uint32_t>(product0 >> 32) ^ w ^ key1;
      w = static_cast<std::uint32_t>(product0);
      key0 += 0x9E3779B9U;
      key1 += 0xBB67AE85U;
    }
    words->word[0][i] = x;
    words->word[1][i] = y;
    words->word[2][i] = z;
    words->word[3][i] = w;
  }
}

}  // namespace convoy::cpu::CONVOY_ISA
