// Small PNG files of every kind, and folders of pictures by class.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "support/data_files.hpp"

namespace convoy::test {

// PNG's colour types.
enum class PngColour : std::uint8_t { grey = 0, rgb = 2, palette = 3, grey_alpha = 4, rgba = 6 };

struct PngChunk {
  std::string type;  // "PLTE"
  ByteVector contents;
};

// `samples`: as they lie in the file, rows one after another, 16-bit ones big-endian; `before`: chunks before the
// pixels.
ByteVector png(int width, int height, PngColour colour, int depth, const ByteVector& samples,
               const std::vector<PngChunk>& before = {});

// One colour everywhere.
ByteVector flat_png(int width, int height, std::uint8_t red, std::uint8_t green, std::uint8_t blue);
ByteVector flat_grey_png(int width, int height, std::uint8_t grey);

// A JPEG of tests/golden/pictures: "colour", "grey", "progressive" or "cmyk".
ByteVector golden_jpeg(const std::string& name);

// Makes the folders on the way.
void write_file(const std::filesystem::path& path, const ByteVector& bytes);

}  // namespace convoy::test
