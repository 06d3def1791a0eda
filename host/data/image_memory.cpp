// Room for a set's images, taken from the system quickly.
#include "data/image_memory.hpp"

#include "io/huge_pages.hpp"

namespace convoy {

void make_room(ImageSet& set, const Extent& image, std::size_t count) {
  const std::size_t bytes = count * static_cast<std::size_t>(image.elements());
  set.image = image;
  set.labels.assign(count, 0);
  set.images.clear();
  set.images.reserve(bytes);
  ask_for_huge_pages(set.images.data(), bytes);
  set.images.resize(bytes);
}

}  // namespace convoy
