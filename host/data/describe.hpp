// What `convoy data` says of a data set.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "data/statistics.hpp"

namespace convoy {

struct Description {
  std::string name, origin;
  Extent image;
  std::vector<std::string> class_names;
  std::vector<std::size_t> train_counts, test_counts;  // by class
  std::size_t train_count = 0, test_count = 0;
  ChannelStatistics statistics;  // of the training images
  std::uint64_t checksum = 0;
};

Description describe(const Dataset& data);

// Several lines, ending with a newline.
std::string to_text(const Description& description);

// The checksum as it is printed everywhere: 16 hexadecimal digits.
std::string checksum_text(std::uint64_t checksum);

}  // namespace convoy
