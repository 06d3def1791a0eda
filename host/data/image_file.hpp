// One PNG or JPEG file as pixels. The decoders are libpng and libjpeg-turbo, each optional at build time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convoy/types.hpp"

namespace convoy {

struct Picture {
  Extent extent;                     // channels 1 (grey) or 3 (RGB), as the file has them
  std::vector<std::uint8_t> pixels;  // [H,W,C]
};

struct PictureLimits {
  std::size_t pixels = std::size_t{1} << 27;      // 134 million, 400 MB of RGB: beyond the cameras of telephones
  std::size_t file_bytes = std::size_t{1} << 28;  // 256 MB
};

// Whether a file's name ends in .png, .jpg or .jpeg, in capitals or not.
bool has_picture_name(std::string_view name);

// The file's pixels: 16-bit samples rounded to 8, palettes resolved, transparent pixels laid over white, CMYK turned
// into RGB, and the right way up where a JPEG's EXIF data say which that is. The contents decide which format it is,
// not the name. Throws Error with one line that begins with `shown`.
Picture decode_picture(std::span<const std::uint8_t> bytes, const std::string& shown, const PictureLimits& limits = {});
Picture read_picture(const std::string& path, const PictureLimits& limits = {});

// "PNG (libpng 1.6.39)", "no JPEG: built without libjpeg-turbo".
std::vector<std::string> picture_formats();

}  // namespace convoy
