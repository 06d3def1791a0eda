// See narrow_weights.hpp.
#include "support/narrow_weights.hpp"

#include <gtest/gtest.h>

#include "support/rounding.hpp"

namespace convoy::test {

GuardedBuffer narrow_weights(Backend& backend, const GuardedBuffer& weights, const std::string& what) {
  const std::size_t count = weights.bytes() / sizeof(float);
  GuardedBuffer buffer(backend, backend.narrow_bytes(count), what);
  if (buffer.bytes() != 0) backend.narrow(weights.as<float>(), count, buffer.data());
  backend.wait();
  return buffer;
}

void expect_narrow_weights(Backend& backend, const GuardedBuffer& narrow, const std::vector<float>& weights) {
  ASSERT_EQ(narrow.bytes(), backend.narrow_bytes(weights.size()));
  if (narrow.bytes() == 0) return;
  narrow.expect_guards_intact();
  std::vector<float> expected = weights, found(weights.size());
  for (float& value : expected) value = rounded(value, backend.compute_type());
  backend.unpack_activation(1, {1, 1, static_cast<int>(found.size())}, narrow.data(), found.data());
  EXPECT_EQ(found, expected) << "narrow weights";
}

}  // namespace convoy::test
