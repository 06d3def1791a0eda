// Which decoder a file's first bytes are for.
#include "data/image_file.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "convoy/error.hpp"
#include "data/decoders/decoders.hpp"
#include "data/source.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

constexpr std::array<std::uint8_t, 8> kPngSignature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::array<std::uint8_t, 3> kJpegSignature{0xff, 0xd8, 0xff};

template <std::size_t size>
bool begins_with(std::span<const std::uint8_t> bytes, const std::array<std::uint8_t, size>& signature) {
  return bytes.size() >= size && std::equal(signature.begin(), signature.end(), bytes.begin());
}

}  // namespace

bool has_picture_name(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  std::string ending(name.substr(dot));
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

void check_extent(std::int64_t width, std::int64_t height, const std::string& shown, const PictureLimits& limits) {
  CONVOY_CHECK(width > 0 && height > 0, "{}: a picture of {} x {} pixels: replace or remove it", shown, width, height);
  const auto most = static_cast<std::int64_t>(limits.pixels);
  CONVOY_CHECK(height <= most / width, "{}: at most {} pixels expected, found {} x {}: make it smaller", shown,
               grouped(limits.pixels), grouped(static_cast<std::uint64_t>(width)),
               grouped(static_cast<std::uint64_t>(height)));
}

Picture decode_picture(std::span<const std::uint8_t> bytes, const std::string& shown, const PictureLimits& limits) {
  CONVOY_CHECK(bytes.size() <= limits.file_bytes, "{}: at most {} bytes expected, found {}", shown,
               grouped(limits.file_bytes), grouped(bytes.size()));
  if (begins_with(bytes, kPngSignature)) return decode_png(bytes, shown, limits);
  if (begins_with(bytes, kJpegSignature)) return decode_jpeg(bytes, shown, limits);
  fail("{}: a PNG or JPEG picture expected, found {}", shown, bytes.empty() ? "an empty file" : "other contents");
}

Picture read_picture(const std::string& path, const PictureLimits& limits) {
  const SourceFile file(path, path);
  CONVOY_CHECK(file.stored_size() <= limits.file_bytes, "{}: at most {} bytes expected, found {}", path,
               grouped(limits.file_bytes), grouped(file.stored_size()));
  const Bytes bytes = file.piece(0, file.stored_size());
  return decode_picture(bytes.view(), path, limits);
}

std::vector<std::string> picture_formats() {
  const std::string png = png_library(), jpeg = jpeg_library();
  return {png.empty() ? "no PNG: built without libpng" : fmt::format("PNG ({})", png),
          jpeg.empty() ? "no JPEG: built without libjpeg-turbo" : fmt::format("JPEG ({})", jpeg)};
}

}  // namespace convoy
