// A made-up data set in CIFAR's shape for tests and demos: ten outlines and patterns drawn at random places, in
// random colours and sizes, under noise. Learnable by a small convolutional network, not by its first steps.
#pragma once

#include <cstdint>
#include <string>

#include "data/dataset.hpp"

namespace convoy {

inline constexpr std::uint64_t kSyntheticCount = 10'000;
inline constexpr std::uint64_t kFewestSynthetic = 10, kMostSynthetic = 250'000;

bool is_synthetic(const std::string& path);              // "synthetic" or "synthetic:..."
std::uint64_t synthetic_count(const std::string& path);  // training images; UsageError where it is no number
// `count` training images and a fifth of it, at least ten, for testing. Equal for equal seeds on every machine:
// integer arithmetic on counter-based random bits.
Dataset make_synthetic(std::uint64_t count, std::uint64_t seed);

}  // namespace convoy
