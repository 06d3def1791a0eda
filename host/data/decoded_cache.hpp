// Data sets that take long to decode, kept decoded for the next run: one file for each place and size, replaced when
// what lies at the place has changed.
#pragma once

#include <functional>
#include <string>

#include "data/dataset.hpp"

namespace convoy {

struct CacheKey {
  std::string place;    // what the file is named by: where the pictures lie, and what is made of them
  std::string content;  // what must be equal for the file to be used: their names, sizes and times
};

// The data set as it was kept, or what `decode` gives, kept for the next time. A line in its notes says which. A kept
// file that is damaged is made anew.
Dataset cached(const CacheKey& key, const std::function<Dataset()>& decode);

}  // namespace convoy
