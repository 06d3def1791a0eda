// The decoders as image_file.cpp knows them. Where a library is missing at build time, its file in absent/ says so.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/image_file.hpp"

namespace convoy {

// The library and its version; empty where it was not there at build time.
std::string png_library();
std::string jpeg_library();

// Throw Error beginning with `shown` for whatever cannot be decoded.
Picture decode_png(std::span<const std::uint8_t> bytes, const std::string& shown, const PictureLimits& limits);
Picture decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& shown, const PictureLimits& limits);

// For both, before they take memory.
void check_extent(std::int64_t width, std::int64_t height, const std::string& shown, const PictureLimits& limits);

}  // namespace convoy
