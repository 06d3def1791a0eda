// Which sample stands where in an epoch, and which part of a batch is a rank's. The order depends on seed and epoch
// alone, never on the ranks: N ranks see together what one rank would see.
#pragma once

#include <cstdint>
#include <vector>

#include "convoy/philox.hpp"

namespace convoy {

// Which of all permutations: the arguments of random_bits but for the index.
struct PermutationKey {
  std::uint64_t seed = 0;
  Purpose purpose = Purpose::permutation;
  std::uint32_t epoch = 0;
  std::uint32_t salt = 0;
};

// The keyed permutation of [0, count): i has the key (x << 32 | y) of random_bits(seed, purpose, epoch, i, salt); the
// order is by key, then by i. Exact, so every backend computes the same.
std::vector<std::int32_t> keyed_permutation(const PermutationKey& key, std::size_t count);

// The one for Purpose::permutation without salt.
std::vector<std::int32_t> epoch_order(std::uint64_t seed, int epoch, std::size_t count);

// Positions [first, first + count) of the epoch's order; count may be 0.
struct Share {
  std::int64_t first = 0;
  std::int64_t count = 0;
  bool operator==(const Share&) const = default;
};

// The part of the global batch [first, first + count) that `rank` works on: contiguous, in the order of ranks, the
// first count % world_size ranks one larger.
Share share_of(std::int64_t first, std::int64_t count, int rank, int world_size);

}  // namespace convoy
