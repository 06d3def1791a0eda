// Adam's corrections for moments that began at zero, of step t = 1, 2, ...: equal to the bit on every backend.
#pragma once

#include <cmath>
#include <cstdint>

#include "convoy/philox.hpp"

namespace convoy {

struct AdamCorrection {
  double step;    // multiplies the rate
  double second;  // multiplies the second moment before its root
};

// By squaring, because pow differs from library to library. For a base below 1 the result is off by at most about
// exponent * base^exponent * 2^-53, which is never more than 2^-54 / (1 - base).
CONVOY_HOST_DEVICE constexpr double power(double base, std::int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 != 0) result *= base;
    base *= base;
  }
  return result;
}

// In double: 1 - beta2^t loses most of its digits in fp32 at the first steps.
CONVOY_HOST_DEVICE inline AdamCorrection adam_correction(float beta1, float beta2, bool keras_epsilon, std::int64_t t) {
  const double first = 1 - power(beta1, t);
  const double second = 1 - power(beta2, t);
  return keras_epsilon ? AdamCorrection{std::sqrt(second) / first, 1.0} : AdamCorrection{1 / first, 1 / second};
}

}  // namespace convoy
