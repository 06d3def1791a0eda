// What a value becomes in an element type.
#pragma once

#include <algorithm>
#include <cmath>

#include "convoy/types.hpp"

namespace convoy::test {

// To the nearest value of the type, ties to even; below the type's normal numbers too.
inline float rounded(float value, DType type) {
  if (type == DType::f32 || value == 0 || !std::isfinite(value)) return value;
  const int mantissa = type == DType::bf16 ? 7 : 10, least_exponent = type == DType::bf16 ? -126 : -14;
  const double step = std::ldexp(1.0, std::max(std::ilogb(value), least_exponent) - mantissa);
  return static_cast<float>(std::nearbyint(value / step) * step);
}

}  // namespace convoy::test
