// One row of the table of readers in load.cpp: a format's name, how it is recognised, how it is read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "convoy/types.hpp"
#include "data/dataset.hpp"
#include "data/source.hpp"

namespace convoy {

struct LoadOptions {
  std::string path;            // folder, file, archive, "synthetic" or "synthetic:COUNT"
  bool coarse_labels = false;  // CIFAR-100: the 20 superclasses
  std::uint64_t seed = 0;      // of synthetic images only; a run keeps 0, so that its seed does not change its data
  // What pictures of any size, and synthetic ones, become: a network's input. 0 channels: grey where all pictures are,
  // else colour.
  Extent pictures{32, 32, 0};
};

struct Reader {
  std::string_view name;  // "CIFAR binary", in messages
  // Looks at heads, sizes and a few labels; cheap, and never throws for damaged contents.
  bool (*recognises)(const Source&);
  // The images and names. Throws Error naming file, expected and found. Leaves `origin` and `checksum` to its caller.
  Dataset (*read)(const Source&, const LoadOptions&);
};

}  // namespace convoy
