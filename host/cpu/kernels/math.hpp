// exp and the activations with their derivatives for vectors of fp32, in place of libm calls that do not vectorise.
#pragma once

#include "cpu/kernels/vector.hpp"

namespace convoy::cpu::CONVOY_ISA {

// Within 2 units in the last place. Argument reduction and polynomial: Moshier, Cephes library, expf. Clamped to
// exponents that fp32 holds as normal numbers; a NaN stays one.
template <int width>
CONVOY_INLINE Floats<width> exponential(Floats<width> x) {
  constexpr float kRounder = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
  x = x > 88.37F ? splat<width>(88.37F) : x;
  x = x < -87.33F ? splat<width>(-87.33F) : x;
  const Floats<width> rounded = x * 1.44269504088896341F + kRounder;
  const Floats<width> power = rounded - kRounder;
  const Floats<width> r = (x - power * 0.693359375F) + power * 2.12194440e-4F;
  Floats<width> sum = splat<width>(1.9875691500e-4F);
  sum = sum * r + 1.3981999507e-3F;
  sum = sum * r + 8.3334519073e-3F;
  sum = sum * r + 4.1665795894e-2F;
  sum = sum * r + 1.6666665459e-1F;
  sum = sum * r + 5.0000001201e-1F;
  sum = sum * (r * r) + (r + 1.0F);
  // The low bits of `rounded` are the power of two, off by those of kRounder (0x4B400000).
  const Words<width> exponent = __builtin_bit_cast(Words<width>, rounded) - (0x4B400000U - 127U);
  return sum * __builtin_bit_cast(Floats<width>, exponent << 23);
}

// 2^y for y <= 0, within 2 units in the last place and 1 at 0; a minimax polynomial over half a unit on either side
// of whole numbers (2e-9 before rounding).
template <int width>
CONVOY_INLINE Floats<width> power_of_two(Floats<width> y) {
  constexpr float kRounder = 12582912.0F + 127.0F;  // 1.5 * 2^23 rounds; 127 biases the exponent in the low bits
  y = y < -126.0F ? splat<width>(-126.0F) : y;
  const Floats<width> rounded = y + kRounder;
  const Floats<width> r = y - (rounded - kRounder);
  Floats<width> sum = splat<width>(1.5353361959569156e-4F);
  sum = sum * r + 1.3398873852565885e-3F;
  sum = sum * r + 9.61843691766262e-3F;
  sum = sum * r + 5.5503323674201965e-2F;
  sum = sum * r + 2.4022647738456726e-1F;
  sum = sum * r + 6.931471824645996e-1F;
  sum = sum * r + 1.0F;
  return sum * __builtin_bit_cast(Floats<width>, __builtin_bit_cast(Words<width>, rounded) << 23);
}

// The normal distribution at x: its cumulative function, (1 + erf(x / sqrt(2))) / 2, and exp(-x^2 / 2).
template <int width>
struct Normal {
  Floats<width> cumulative, exponential;
};

// erfc(z) = t P(t) exp(-z^2), t = 1 / (1 + p z): the form of Abramowitz and Stegun 7.1.26 with seven coefficients in
// place of five, fitted for the least absolute error of erfc: 3.3e-8 before rounding. The cumulative function is
// within 2e-7 and keeps its relative digits (5e-4) in the lower tail.
template <int width>
CONVOY_INLINE Normal<width> normal_distribution(Floats<width> x) {
  const auto magnitude = __builtin_bit_cast(Floats<width>, __builtin_bit_cast(Words<width>, x) & 0x7FFFFFFFU);
  const Floats<width> bell = power_of_two<width>(magnitude * magnitude * -0.72134752044448170F);  // -log2(e) / 2
  const Floats<width> t = 1.0F / (magnitude * (0.7F * 0.70710678118654752F) + 1.0F);
  Floats<width> sum = splat<width>(0.5F * -0.0880252942442894F);
  sum = sum * t + 0.5F * 0.43181347846984863F;
  sum = sum * t + 0.5F * -0.7514110803604126F;
  sum = sum * t + 0.5F * 0.3513488471508026F;
  sum = sum * t + 0.5F * 0.27328458428382874F;
  sum = sum * t + 0.5F * 0.38607582449913025F;
  sum = sum * t + 0.5F * 0.3969135880470276F;
  const Floats<width> tail = sum * t * bell;
  return {x < 0.0F ? tail : 1.0F - tail, bell};
}

template <int width>
CONVOY_INLINE Floats<width> sigmoid(Floats<width> x) {
  return 1.0F / (exponential<width>(-x) + 1.0F);
}

// GELU is the exact form, x * Phi(x), as PyTorch's default; SiLU is x * sigmoid(x). ReLU keeps a NaN.
template <Activation activation, int width>
CONVOY_INLINE Floats<width> activate(Floats<width> x) {
  if constexpr (activation == Activation::relu) {
    return x < 0.0F ? Floats<width>{} : x;
  } else if constexpr (activation == Activation::gelu) {
    return x * normal_distribution<width>(x).cumulative;
  } else if constexpr (activation == Activation::silu) {
    return x * sigmoid<width>(x);
  } else {
    return x;
  }
}

// The gradient times the activation's derivative at x; for ReLU x may as well be the output.
template <Activation activation, int width>
CONVOY_INLINE Floats<width> times_derivative(Floats<width> gradient, Floats<width> x) {
  if constexpr (activation == Activation::relu) {
    return x <= 0.0F ? Floats<width>{} : gradient;
  } else if constexpr (activation == Activation::gelu) {
    const Normal<width> normal = normal_distribution<width>(x);
    return gradient * (normal.cumulative + x * 0.3989422804014327F * normal.exponential);
  } else if constexpr (activation == Activation::silu) {
    const Floats<width> share = sigmoid<width>(x);
    return gradient * (share * (x * (1.0F - share) + 1.0F));
  } else {
    return gradient;
  }
}

}  // namespace convoy::cpu::CONVOY_ISA
