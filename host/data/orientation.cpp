// Which way up a picture is.
#include "data/orientation.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace convoy {
namespace {

constexpr std::array<std::uint8_t, 6> kExif{'E', 'x', 'i', 'f', 0, 0};
constexpr std::size_t kEntryBytes = 12;
constexpr std::uint32_t kOrientationTag = 0x0112;

// A TIFF file's numbers; 0 beyond its end.
struct Tiff {
  std::span<const std::uint8_t> bytes;
  bool big_endian = false;

  std::uint32_t number(std::size_t at, std::size_t size) const {
    if (at > bytes.size() || bytes.size() - at < size) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value = value << 8 | bytes[at + (big_endian ? i : size - 1 - i)];
    return value;
  }
};

}  // namespace

int exif_orientation(std::span<const std::uint8_t> marker) {
  if (marker.size() < kExif.size() || !std::equal(kExif.begin(), kExif.end(), marker.begin())) return 0;
  Tiff tiff{marker.subspan(kExif.size())};
  if (tiff.number(0, 2) != 0x4949 && tiff.number(0, 2) != 0x4d4d) return 0;  // "II", "MM"
  tiff.big_endian = tiff.number(0, 2) == 0x4d4d;
  const std::size_t directory = tiff.number(4, 4);
  const std::size_t entries = tiff.number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + i * kEntryBytes;
    if (tiff.number(entry, 2) != kOrientationTag) continue;
    const std::uint32_t orientation = tiff.number(entry + 8, 2);
    return orientation <= 8 ? static_cast<int>(orientation) : 0;
  }
  return 0;
}

Picture turned(Picture picture, int orientation) {
  if (orientation < 2 || orientation > 8) return picture;
  const bool is_transposed = orientation >= 5;
  const bool flips_rows = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool flips_columns = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const Extent stored = picture.extent;
  Picture seen{stored, {}};
  if (is_transposed) std::swap(seen.extent.height, seen.extent.width);
  seen.pixels.resize(picture.pixels.size());
  const auto channels = static_cast<std::size_t>(stored.channels);
  std::uint8_t* to = seen.pixels.data();
  for (int y = 0; y < seen.extent.height; ++y) {
    for (int x = 0; x < seen.extent.width; ++x, to += channels) {
      int row = is_transposed ? x : y, column = is_transposed ? y : x;
      if (flips_rows) row = stored.height - 1 - row;
      if (flips_columns) column = stored.width - 1 - column;
      const std::size_t from =
          static_cast<std::size_t>(row) * static_cast<std::size_t>(stored.width) + static_cast<std::size_t>(column);
      std::memcpy(to, picture.pixels.data() + from * channels, channels);
    }
  }
  return seen;
}

}  // namespace convoy
