// What both fuzz targets of picture decoders do: decode, fit, or be told why not in one line.
#pragma once

#include <cstdlib>
#include <string_view>

#include "convoy/error.hpp"
#include "data/image_file.hpp"
#include "data/resize.hpp"

namespace convoy {

template <typename Decode>
void decode_or_refuse(const Decode& decode, std::span<const std::uint8_t> bytes) {
  constexpr PictureLimits kSmall{.pixels = 1 << 18, .file_bytes = 1 << 20};  // so that no case takes long
  try {
    const Picture picture = decode(bytes, "input", kSmall);
    const bool has_channels = picture.extent.channels == 1 || picture.extent.channels == 3;
    if (!has_channels || picture.pixels.size() != static_cast<std::size_t>(picture.extent.elements())) std::abort();
    if (fit_to(picture, {8, 8, 3}).size() != 8 * 8 * 3) std::abort();
  } catch (const Error& error) {
    const std::string_view message = error.what();
    if (!message.starts_with("input: ") || message.find('\n') != std::string_view::npos) std::abort();
  }
}

}  // namespace convoy
