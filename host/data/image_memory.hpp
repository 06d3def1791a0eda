// Room for a set's images, taken from the system quickly.
#pragma once

#include "data/dataset.hpp"

namespace convoy {

// Sets image and makes room for `count` labels and images, all zero. Large sets ask for huge pages.
void make_room(ImageSet& set, const Extent& image, std::size_t count);

}  // namespace convoy
