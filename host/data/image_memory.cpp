// Room for a set's images, taken from the system quickly.
#include "data/image_memory.hpp"

#include <sys/mman.h>

#include <cstdint>

namespace convoy {
namespace {

void ask_for_huge_pages(void* data, std::size_t bytes) {
  constexpr std::uintptr_t kHugePage = std::uintptr_t{2} << 20;
  const auto begin = (reinterpret_cast<std::uintptr_t>(data) + kHugePage - 1) / kHugePage * kHugePage;
  const auto end = (reinterpret_cast<std::uintptr_t>(data) + bytes) / kHugePage * kHugePage;
  // A wish: where it is not granted, everything works, only slower.
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

}  // namespace

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
