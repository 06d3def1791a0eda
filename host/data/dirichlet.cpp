// Draws from Dirichlet distributions by keyed random numbers.
#include "data/dirichlet.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace convoy {
namespace {

constexpr int kAttemptBits = 20;  // of an index: which attempt; some one in twenty is rejected

// In (0, 1).
double open_uniform(std::uint32_t bits) { return (static_cast<double>(bits) + 0.5) * 0x1p-32; }

// The logarithm of a gamma variate of this shape, above 0. A shape below 1 is drawn one higher and brought down by a
// uniform number to the power of 1 / shape.
double log_gamma_variate(double shape, const DirichletKey& key, std::uint64_t which) {
  const double d = shape + (shape < 1 ? 1 : 0) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (std::uint64_t attempt = 0;; ++attempt) {
    const Random4 bits = random_bits(key.seed, key.purpose, key.epoch, (which << kAttemptBits) + attempt, key.salt);
    const double normal =
        std::sqrt(-2 * std::log(open_uniform(bits.x))) * std::cos(2 * std::numbers::pi * open_uniform(bits.y));
    const double root = 1 + c * normal;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(open_uniform(bits.z)) >= normal * normal / 2 + d * (1 - v + std::log(v))) continue;
    return std::log(d * v) + (shape < 1 ? std::log(open_uniform(bits.w)) / shape : 0);
  }
}

}  // namespace

std::vector<double> draw_dirichlet(std::span<const double> shapes, const DirichletKey& key) {
  std::vector<double> values(shapes.size(), -std::numeric_limits<double>::infinity());
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    if (shapes[i] > 0) values[i] = log_gamma_variate(shapes[i], key, i);
  }
  const double largest = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (double& value : values) sum += value = std::exp(value - largest);
  for (double& value : values) value /= sum;
  return values;
}

}  // namespace convoy
