// Mean and standard deviation of a set's pixels, by which images are normalised.
#pragma once

#include <vector>

#include "data/dataset.hpp"

namespace convoy {

struct ChannelStatistics {
  std::vector<double> mean, deviation;  // by channel, pixels in 0..1; the deviation of the whole population
};

// Sums are integers, so the result does not depend on threads. Padding that a reader added counts like any pixel.
ChannelStatistics channel_statistics(const ImageSet& set);

// Images of each class; `classes` is the number of names.
std::vector<std::size_t> class_counts(const ImageSet& set, int classes);

}  // namespace convoy
