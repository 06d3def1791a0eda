// Transparent huge pages of Linux (madvise(2)).
#include "io/huge_pages.hpp"

#include <sys/mman.h>

#include <cstdint>

namespace convoy {

void ask_for_huge_pages(void* data, std::size_t bytes) {
  const auto begin = (reinterpret_cast<std::uintptr_t>(data) + kHugePage - 1) / kHugePage * kHugePage;
  const auto end = (reinterpret_cast<std::uintptr_t>(data) + bytes) / kHugePage * kHugePage;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

}  // namespace convoy
