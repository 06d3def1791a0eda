// The system's pages of memory, and those of 2 MB where it grants them.
#pragma once

#include <cstddef>

namespace convoy {

std::size_t page_size();  // bytes, of ordinary ones
inline std::size_t whole_pages(std::size_t bytes, std::size_t page) { return (bytes + page - 1) / page * page; }

inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Asks for huge pages in what lies between two multiples of kHugePage, before it is written for the first time. They
// are an order of magnitude cheaper to get than 512 small ones, and the processor finds what lies in them without
// walking its page tables. A wish: where it is not granted, everything works, only slower.
void ask_for_huge_pages(void* data, std::size_t bytes);

}  // namespace convoy
