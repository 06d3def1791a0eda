// Draws from Dirichlet distributions by keyed random numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "convoy/philox.hpp"

namespace convoy {

// Which of all draws: the arguments of random_bits but for the index.
struct DirichletKey {
  std::uint64_t seed = 0;
  Purpose purpose = Purpose::shard;
  std::uint32_t epoch = 0;
  std::uint32_t salt = 0;
};

// Proportions, their sum 1, from Dirichlet(shapes): gamma variates over their sum (Marsaglia and Tsang 2000). A shape
// of 0 gives the proportion 0; at least one is above 0. Works with logarithms, so that no shape is too small.
std::vector<double> draw_dirichlet(std::span<const double> shapes, const DirichletKey& key);

}  // namespace convoy
