// The 64-bit checksum by which two machines know that they read the same data.
#pragma once

#include <cstdint>

#include "data/dataset.hpp"

namespace convoy {

// Defined so that others can reproduce it. mix(h, w) = let h = (h xor w) * 0x9E3779B97F4A7C15 mod 2^64, then
// h xor (h >> 32). The hash of a sample starts as its label and mixes in its pixels (HWC), eight at a time as
// little-endian words, the last word filled with zeros. The checksum starts as 0 and mixes in, for the training set
// and then for the test set: count, height, width, channels, and the hash of every sample in order.
std::uint64_t checksum(const Dataset& data);

}  // namespace convoy
