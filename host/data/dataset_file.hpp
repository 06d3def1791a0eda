// A decoded data set as one file that is mapped, not read: for the other processes of a host, and for the next run.
// Eight bytes of signature, eight of the description's length, the description (JSON), then for each of the two sets
// its pixels and labels as they lie in memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.hpp"

namespace convoy {

// The file's parts, in order; the spans point into `data` and into this.
class DatasetFile {
 public:
  // `key` says what the pixels were made from, for whoever maps the file later.
  explicit DatasetFile(const Dataset& data, const std::string& key = "");
  std::span<const std::span<const std::byte>> pieces() const { return pieces_; }

 private:
  std::string head_;
  std::vector<std::span<const std::byte>> pieces_;
};

struct MappedDataset {
  Dataset data;  // its sets are `mapped`
  std::string key;
};

// Throws Error where the file is not there, or not such a file, or cut.
MappedDataset map_dataset(const std::filesystem::path& path);

}  // namespace convoy
