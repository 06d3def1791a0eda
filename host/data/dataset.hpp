// A labelled set of equally large uint8 images in host memory, and what a reader tells about its origin.
// images [count,H,W,C] (HWC, channels adjacent); labels [count], each below class_names.size().
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "convoy/types.hpp"

namespace convoy {

struct ImageSet {
  Extent image;                      // channels 1 or 3
  std::vector<std::uint8_t> images;  // what a reader fills; empty where `mapped` has the pixels
  std::vector<std::int32_t> labels;
  std::shared_ptr<const std::uint8_t> mapped;  // read only, shared with other processes
  std::size_t count() const { return labels.size(); }
  std::size_t pixel_bytes() const { return count() * static_cast<std::size_t>(image.elements()); }
  const std::uint8_t* pixels() const { return mapped ? mapped.get() : images.data(); }
  void keep_first(std::size_t most) {
    labels.resize(std::min(most, count()));
    if (!mapped) images.resize(pixel_bytes());
  }
  const std::uint8_t* at(std::size_t index) const {
    return pixels() + index * static_cast<std::size_t>(image.elements());
  }
};

struct Dataset {
  std::string name;    // "CIFAR-10 (binary)", "Fashion-MNIST (IDX)", "SYNTHETIC"
  std::string origin;  // the path as given
  std::vector<std::string> class_names;
  ImageSet train, test;
  std::vector<std::string> notes;  // lines for the user: what the reader decided
  std::uint64_t checksum = 0;      // of all images and labels, in order
  int classes() const { return static_cast<int>(class_names.size()); }
};

}  // namespace convoy
