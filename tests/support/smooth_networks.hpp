// Tiny networks without a kink (no ReLU, no max-pool), for tests that two trainings stay together: where two runs
// differ in the last bit, a kink sends a sample down another branch in one of them, and some ten steps later the
// weights are 1e-3 apart; smooth networks carry a rounding along as a rounding.
#pragma once

#include <string_view>

namespace convoy::test {

inline constexpr std::string_view kSmoothNetwork = R"({"name": "smooth", "input": [32, 32, "channels"], "layers": [
  {"name": "conv1", "type": "convolution", "filters": 8, "kernel": 3, "stride": 2, "padding": "same"},
  {"name": "gelu1", "type": "gelu"},
  {"name": "pool1", "type": "average_pool", "kernel": 2},
  {"name": "conv2", "type": "convolution", "filters": 8, "kernel": 3, "padding": "same"},
  {"name": "silu2", "type": "silu"},
  {"name": "pool2", "type": "average_pool", "kernel": 2},
  {"name": "head", "type": "dense", "outputs": "classes"}]})";

// With batch normalisation.
inline constexpr std::string_view kSmoothNormNetwork =
    R"({"name": "smooth_norm", "input": [32, 32, "channels"], "layers": [
  {"name": "conv1", "type": "convolution", "filters": 8, "kernel": 3, "stride": 2, "padding": "same", "bias": false},
  {"name": "norm1", "type": "batch_normalisation"},
  {"name": "gelu1", "type": "gelu"},
  {"name": "pool1", "type": "average_pool", "kernel": 2},
  {"name": "conv2", "type": "convolution", "filters": 8, "kernel": 3, "padding": "same", "bias": false},
  {"name": "norm2", "type": "batch_normalisation"},
  {"name": "silu2", "type": "silu"},
  {"name": "pool2", "type": "average_pool", "kernel": 2},
  {"name": "head", "type": "dense", "outputs": "classes"}]})";

}  // namespace convoy::test
