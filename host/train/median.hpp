// The figure that benchmarks report: on a laptop or a shared machine means are noise.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace convoy {

// The upper one of the two in the middle where their number is even; at least one value.
inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace convoy
