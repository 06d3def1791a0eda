// Draws initial weights. The whitening filters are in whitening.cpp.
#include "nn/initialise.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "convoy/error.hpp"
#include "convoy/philox.hpp"

namespace convoy {
namespace {

using Four = std::array<double, 4>;

// Uniform in [-limit, limit).
Four uniform_four(const Random4& bits, double limit) {
  const auto one = [limit](std::uint32_t word) { return limit * (2.0 * (static_cast<double>(word) * 0x1p-32) - 1.0); };
  return {one(bits.x), one(bits.y), one(bits.z), one(bits.w)};
}

// Normal with this standard deviation: Box and Muller 1958, on (x, y) and (z, w).
Four normal_four(const Random4& bits, double deviation) {
  const auto pair = [deviation](std::uint32_t a, std::uint32_t b) {
    const double radius = deviation * std::sqrt(-2.0 * std::log((static_cast<double>(a) + 1.0) * 0x1p-32));
    const double angle = 2.0 * std::numbers::pi * (static_cast<double>(b) * 0x1p-32);
    return std::pair{radius * std::cos(angle), radius * std::sin(angle)};
  };
  const auto [first, second] = pair(bits.x, bits.y);
  const auto [third, fourth] = pair(bits.z, bits.w);
  return {first, second, third, fourth};
}

template <typename Draw>
void fill(std::uint64_t seed, int parameter, std::span<float> values, Draw draw) {
  for (std::size_t first = 0; first < values.size(); first += 4) {
    const Four four = draw(random_bits(seed, Purpose::initialise, 0, first / 4, static_cast<std::uint32_t>(parameter)));
    for (std::size_t i = 0; i < std::min<std::size_t>(4, values.size() - first); ++i)
      values[first + i] = static_cast<float>(four[i]);
  }
}

void fill_uniform(std::uint64_t seed, int parameter, std::span<float> values, double limit) {
  fill(seed, parameter, values, [limit](const Random4& bits) { return uniform_four(bits, limit); });
}

void fill_weights(const Parameter& p, std::uint64_t seed, int parameter, std::span<float> values) {
  const auto fan_in = static_cast<double>(p.fan_in), fan_out = static_cast<double>(p.fan_out);
  switch (p.initialise) {
    case Initialisation::glorot_uniform:
      return fill_uniform(seed, parameter, values, std::sqrt(6.0 / (fan_in + fan_out)));
    case Initialisation::torch_default:
      return fill_uniform(seed, parameter, values, 1.0 / std::sqrt(fan_in));
    case Initialisation::he_normal:
      return fill(seed, parameter, values,
                  [deviation = std::sqrt(2.0 / fan_in)](const Random4& bits) { return normal_four(bits, deviation); });
    case Initialisation::whitening:
      std::fill(values.begin(), values.end(), 0.0F);
      return;
  }
}

void fill_bias(const Parameter& p, std::uint64_t seed, int parameter, std::span<float> values) {
  const bool is_torch = p.initialise == Initialisation::torch_default || p.initialise == Initialisation::whitening;
  if (is_torch) return fill_uniform(seed, parameter, values, 1.0 / std::sqrt(static_cast<double>(p.fan_in)));
  std::fill(values.begin(), values.end(), 0.0F);
}

// The first min(O, I) filters pass their own input channel on, through the kernel's centre, and nothing else.
void set_identity(const Parameter& p, std::span<float> values) {
  const auto outputs = static_cast<std::size_t>(p.shape[0]), channels = static_cast<std::size_t>(p.extent.channels);
  const auto row = static_cast<std::size_t>(p.extent.elements());
  const std::size_t centre = (static_cast<std::size_t>(p.extent.height / 2) * static_cast<std::size_t>(p.extent.width) +
                              static_cast<std::size_t>(p.extent.width / 2)) *
                             channels;
  for (std::size_t o = 0; o < std::min(outputs, channels); ++o) {
    std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(o * row), row, 0.0F);
    values[o * row + centre + o] = 1.0F;
  }
}

// Divides by the standard deviation over all weights, with count - 1 as torch.std has it.
void divide_by_deviation(std::span<float> values) {
  if (values.size() < 2) return;
  const auto count = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const float value : values) sum += value;
  for (const float value : values) squares += (value - sum / count) * (value - sum / count);
  const double deviation = std::sqrt(squares / (count - 1));
  if (deviation == 0) return;
  for (float& value : values) value = static_cast<float>(value / deviation);
}

}  // namespace

void initialise_parameter(const ParamLayout& layout, int parameter, std::uint64_t seed, std::span<float> values) {
  const Parameter& p = layout.parameters.at(static_cast<std::size_t>(parameter));
  CONVOY_CHECK(values.size() == p.count, "{}: {} values for {} elements", p.name, values.size(), p.count);
  switch (p.kind) {
    case ParameterKind::filters:
    case ParameterKind::dense:
      fill_weights(p, seed, parameter, values);
      if (p.identity) set_identity(p, values);
      if (p.unit_std) divide_by_deviation(values);
      break;
    case ParameterKind::bias:
      fill_bias(p, seed, parameter, values);
      break;
    case ParameterKind::scale:
    case ParameterKind::running_variance:
      std::fill(values.begin(), values.end(), 1.0F);
      break;
    case ParameterKind::shift:
    case ParameterKind::running_mean:
      std::fill(values.begin(), values.end(), 0.0F);
      break;
  }
}

std::vector<float> initial_weights(const ParamLayout& layout, std::uint64_t seed) {
  std::vector<float> weights(layout.total_elements, 0.0F);
  for (std::size_t i = 0; i < layout.parameters.size(); ++i) {
    const Parameter& p = layout.parameters[i];
    initialise_parameter(layout, static_cast<int>(i), seed, std::span(weights).subspan(p.offset, p.count));
  }
  return weights;
}

}  // namespace convoy
