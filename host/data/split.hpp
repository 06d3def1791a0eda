// A validation set held out of the training set: class-balanced and keyed by the seed, so that every rank and every
// machine holds out the same images.
#pragma once

#include <cstdint>
#include <string>

#include "data/dataset.hpp"

namespace convoy {

struct Split {
  ImageSet train, validation;  // both in the order of the original
};

// What --validation says, as a number of images: a count ("5000"), or a fraction below 1 ("0.1"), of `total`.
// UsageError where it is neither, or leaves nothing on one side.
std::size_t validation_count(const std::string& text, std::size_t total);

// Every class gives its share of `count` (rounded so that the sum is exact): its images with the smallest keys, the
// key of image i being (x << 32 | y) of random_bits(seed, Purpose::validation, 0, i).
Split split_validation(const ImageSet& set, std::size_t count, std::uint64_t seed);

}  // namespace convoy
