// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): counter-based random
// bits. The key is the run's seed; the counter says what the bits are for. Never keyed by rank, thread or call
// order, so every backend and every number of ranks draws the same.
#pragma once

#include <array>
#include <cstdint>

#if defined(__CUDACC__)
#define CONVOY_HOST_DEVICE __host__ __device__
#else
#define CONVOY_HOST_DEVICE
#endif

namespace convoy {

// What random bits are drawn for. The numbers are part of the reproducibility contract: never reuse one.
enum class Purpose : std::uint32_t {
  permutation = 1,  // index: sample; or place in a rank's shard, salt: rank + 1
  flip = 2,         // index: sample
  translate = 3,
  cutout = 4,
  colour = 5,
  dropout = 6,     // index: element of the sample / 4; salt: layer
  initialise = 7,  // index: element / 4; salt: parameter
  validation = 8,  // index: sample
  synthetic = 9,   // index: sample
  shard = 10,      // see host/data/shard_draws.hpp
  rank_seed = 11,  // index: rank
};

struct Random4 {
  std::uint32_t x, y, z, w;
};

CONVOY_HOST_DEVICE constexpr Random4 philox4x32(Random4 counter, std::uint64_t seed) {
  auto key0 = static_cast<std::uint32_t>(seed);
  auto key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter.x;
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter.z;
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter.y ^ key0, static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter.w ^ key1, static_cast<std::uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// 128 random bits for (seed, purpose, epoch, index); `salt` (below 2^20) tells apart uses of one purpose, and
// `index` is below 2^44.
CONVOY_HOST_DEVICE constexpr Random4 random_bits(std::uint64_t seed, Purpose purpose, std::uint32_t epoch,
                                                 std::uint64_t index, std::uint32_t salt = 0) {
  return philox4x32(
      {static_cast<std::uint32_t>(index), (static_cast<std::uint32_t>(index >> 32) & 0xFFFu) | (salt << 12), epoch,
       static_cast<std::uint32_t>(purpose)},
      seed);
}

// Uniform in [0, 1): the upper 24 bits, exact in fp32.
CONVOY_HOST_DEVICE constexpr float uniform(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

// Uniform integer in [0, n): multiply-shift, exact and equal everywhere.
CONVOY_HOST_DEVICE constexpr std::uint32_t below(std::uint32_t bits, std::uint32_t n) {
  return static_cast<std::uint32_t>((std::uint64_t{bits} * n) >> 32);
}

}  // namespace convoy
