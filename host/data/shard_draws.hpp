// How the modes of --shard draw the shards of the ranks, and the keys that they use.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "convoy/philox.hpp"

namespace convoy {

using Samples = std::vector<std::int32_t>;  // their numbers in the set

// The salt of a rank's own draws; 0 is nobody's.
inline std::uint32_t salt_of(std::size_t rank) { return static_cast<std::uint32_t>(rank) + 1; }

// Positions [first, first + count) of one keyed permutation of the set after the other without end (its number is the
// key's epoch): no sample comes again before every other has come.
Samples permuted(std::uint64_t seed, Purpose purpose, std::size_t set_size, std::uint64_t first, std::size_t count);

struct Drawing {
  std::uint64_t seed = 0;
  std::span<const std::int32_t> labels;  // of the whole set
  std::vector<std::size_t> sizes;        // of each rank's shard
  double value = 0;                      // the mode's argument
};

// The set, permuted (Purpose::shard, salt 0), split into parts of these sizes; begun again where they ask for more.
std::vector<Samples> draw_fixed(const Drawing& drawing);

// The same samples as draw_fixed, but each rank with its own proportions of the classes, drawn from
// Dirichlet(value * p), where p is the whole set's (Hsu et al. 2019, https://arxiv.org/abs/1909.06335). The ranks take
// a sample each in turn, of a class drawn by their proportions among those not exhausted; where all of a rank's classes
// are, by how much is left of each. So sizes are exact, every sample is dealt once, and no rank is left with the rest.
// Keys: salt_of(rank); epoch 0 for the proportions, epoch 1, index k for the class of a rank's sample k.
std::vector<Samples> draw_dirichlet_shards(const Drawing& drawing);

// Each rank's own permutation (Purpose::shard, salt_of(rank)) up to its size, at most the set's.
std::vector<Samples> draw_overlapping(const Drawing& drawing);

}  // namespace convoy
