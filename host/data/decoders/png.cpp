// PNG through libpng's simplified interface, which resolves palettes, depths and interlacing and needs no setjmp.
#include <png.h>

#include "convoy/error.hpp"
#include "data/decoders/decoders.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

class Image {
 public:
  Image() { image.version = PNG_IMAGE_VERSION; }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  ~Image() { ::png_image_free(&image); }
  png_image image{};
};

[[noreturn]] void fail_broken(const Image& image, const std::string& shown) {
  fail("{}: a broken PNG file ({}): replace or remove it", shown, printable(image.image.message));
}

}  // namespace

std::string png_library() { return std::string("libpng ") + ::png_get_libpng_ver(nullptr); }

Picture decode_png(std::span<const std::uint8_t> bytes, const std::string& shown, const PictureLimits& limits) {
  constexpr png_color kWhite{255, 255, 255};
  Image file;
  png_image& image = file.image;
  if (::png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0) fail_broken(file, shown);
  check_extent(image.width, image.height, shown, limits);
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // 16-bit samples mean what 8-bit ones do, unless the file says otherwise
  const bool is_colour = (image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  image.format = is_colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  Picture picture;
  picture.extent = {static_cast<int>(image.height), static_cast<int>(image.width), is_colour ? 3 : 1};
  picture.pixels.resize(static_cast<std::size_t>(picture.extent.elements()));
  if (::png_image_finish_read(&image, &kWhite, picture.pixels.data(), 0, nullptr) == 0) fail_broken(file, shown);
  return picture;
}

}  // namespace convoy
