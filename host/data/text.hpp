// Small pieces of the readers' messages: numbers with thousands separators, bytes of a foreign file made printable.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convoy {

std::string grouped(std::uint64_t number);  // 30730000 -> "30,730,000"

// Text of unknown origin for a message: at most 60 characters, whatever is not printable ASCII becomes '?'.
std::string printable(std::string_view text);

// The lines of a names file: trimmed, empty ones left out.
std::vector<std::string> text_lines(std::span<const std::uint8_t> bytes);

// What a failed download gets as advice, at the end of the message.
inline constexpr std::string_view kDownloadAgain = "the file is incomplete or damaged: download it again";

}  // namespace convoy
