// Weights in the compute type beside those in fp32, where a backend's operations read them there: see
// Backend::narrow_bytes.
#pragma once

#include <string>
#include <vector>

#include "support/guarded_buffer.hpp"

namespace convoy::test {

// Of no bytes where the backend has none.
GuardedBuffer narrow_weights(Backend& backend, const GuardedBuffer& weights, const std::string& what);

// Every element is the weight's, rounded to the compute type, and the guards are intact.
void expect_narrow_weights(Backend& backend, const GuardedBuffer& narrow, const std::vector<float>& weights);

}  // namespace convoy::test
