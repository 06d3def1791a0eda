// JPEG through libjpeg's interface. Its errors leave by longjmp, so no object with a destructor lives in decode_rows.
#include <csetjmp>
#include <cstdio>
// jpeglib.h needs stdio.h before it.
#include <jpeglib.h>
//
#include <jerror.h>

#include <array>
#include <utility>

#include "convoy/error.hpp"
#include "data/decoders/decoders.hpp"
#include "data/orientation.hpp"
#include "data/text.hpp"

#define CONVOY_TEXT_OF(x) CONVOY_TEXT(x)
#define CONVOY_TEXT(x) #x

namespace convoy {
namespace {

// More than any encoder makes: a small file of many scans would take minutes.
constexpr int kMostScans = 200;

constexpr int kExifMarker = JPEG_APP0 + 1;
constexpr unsigned kMostMarkerBytes = 0xffff;

// Warnings that mean lost pixels; others (odd markers, an unknown JFIF version) do not matter.
bool loses_pixels(int code) {
  switch (code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL:
      return true;
    default:
      return false;
  }
}

struct Decompressor {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf leave{};
  std::array<char, JMSG_LENGTH_MAX> message{};
  bool is_created = false;

  Decompressor() {
    info.err = ::jpeg_std_error(&errors);
    info.client_data = this;
    errors.error_exit = [](j_common_ptr common) { of(common).leave_with_message(); };
    errors.emit_message = [](j_common_ptr common, int level) {
      if (level < 0 && loses_pixels(common->err->msg_code)) of(common).leave_with_message();
    };
    progress.progress_monitor = [](j_common_ptr common) {
      auto* decompressor = reinterpret_cast<j_decompress_ptr>(common);
      if (decompressor->input_scan_number > kMostScans) of(common).leave_with("more scans than any encoder makes");
    };
  }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() {
    if (is_created) ::jpeg_destroy_decompress(&info);
  }

  static Decompressor& of(j_common_ptr common) { return *static_cast<Decompressor*>(common->client_data); }
  [[noreturn]] void leave_with_message() {
    errors.format_message(reinterpret_cast<j_common_ptr>(&info), message.data());
    std::longjmp(leave, 1);
  }
  [[noreturn]] void leave_with(const char* text) {
    std::snprintf(message.data(), message.size(), "%s", text);
    std::longjmp(leave, 1);
  }
};

// The header's facts; the output's colours chosen. False: `message` says what is wrong.
bool read_header(Decompressor& file, std::span<const std::uint8_t> bytes) {
  if (setjmp(file.leave) != 0) return false;
  ::jpeg_create_decompress(&file.info);
  file.is_created = true;
  file.info.progress = &file.progress;
  ::jpeg_save_markers(&file.info, kExifMarker, kMostMarkerBytes);
  ::jpeg_mem_src(&file.info, bytes.data(), static_cast<unsigned long>(bytes.size()));
  ::jpeg_read_header(&file.info, TRUE);
  const bool is_grey = file.info.jpeg_color_space == JCS_GRAYSCALE;
  const bool is_cmyk = file.info.jpeg_color_space == JCS_CMYK || file.info.jpeg_color_space == JCS_YCCK;
  file.info.out_color_space = is_grey ? JCS_GRAYSCALE : is_cmyk ? JCS_CMYK : JCS_RGB;
  file.info.dct_method = JDCT_ISLOW;  // the same to the bit with and without vector instructions
  return true;
}

// All rows into `pixels`, which has room for height * width * output_components.
bool decode_rows(Decompressor& file, std::uint8_t* pixels) {
  if (setjmp(file.leave) != 0) return false;
  ::jpeg_start_decompress(&file.info);
  const std::size_t stride =
      static_cast<std::size_t>(file.info.output_width) * static_cast<std::size_t>(file.info.output_components);
  while (file.info.output_scanline < file.info.output_height) {
    JSAMPROW row = pixels + file.info.output_scanline * stride;
    ::jpeg_read_scanlines(&file.info, &row, 1);
  }
  ::jpeg_finish_decompress(&file.info);
  return true;
}

// How cameras say which way up a picture is; 1 where this one does not.
int orientation_of(const Decompressor& file) {
  for (const jpeg_marker_struct* marker = file.info.marker_list; marker != nullptr; marker = marker->next) {
    if (marker->marker != kExifMarker) continue;
    if (const int orientation = exif_orientation({marker->data, marker->data_length}); orientation > 0) {
      return orientation;
    }
  }
  return 1;
}

[[noreturn]] void fail_broken(const Decompressor& file, const std::string& shown) {
  fail("{}: a broken JPEG file ({}): replace or remove it", shown, printable(file.message.data()));
}

// In place. Adobe's programs, nearly the only ones that write CMYK, write it inverted.
void cmyk_to_rgb(std::vector<std::uint8_t>& pixels, bool is_inverted) {
  const std::size_t count = pixels.size() / 4;
  for (std::size_t i = 0; i < count; ++i) {
    const auto light = [&](std::size_t c) { return is_inverted ? pixels[4 * i + c] : 255 - pixels[4 * i + c]; };
    const std::array<int, 3> rgb{light(0) * light(3), light(1) * light(3), light(2) * light(3)};
    for (std::size_t c = 0; c < 3; ++c) pixels[3 * i + c] = static_cast<std::uint8_t>((rgb[c] + 127) / 255);
  }
  pixels.resize(3 * count);
}

}  // namespace

std::string jpeg_library() {
#ifdef LIBJPEG_TURBO_VERSION
  return "libjpeg-turbo " CONVOY_TEXT_OF(LIBJPEG_TURBO_VERSION);
#else
  return "libjpeg " CONVOY_TEXT_OF(JPEG_LIB_VERSION);
#endif
}

Picture decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& shown, const PictureLimits& limits) {
  Decompressor file;
  if (!read_header(file, bytes)) fail_broken(file, shown);
  check_extent(file.info.image_width, file.info.image_height, shown, limits);
  const int components = file.info.out_color_space == JCS_CMYK ? 4 : file.info.out_color_space == JCS_RGB ? 3 : 1;
  const int orientation = orientation_of(file);  // the markers are gone when all rows are read
  Picture picture;
  picture.extent = {static_cast<int>(file.info.image_height), static_cast<int>(file.info.image_width), components};
  picture.pixels.resize(static_cast<std::size_t>(picture.extent.elements()));
  if (!decode_rows(file, picture.pixels.data())) fail_broken(file, shown);
  if (components == 4) {
    cmyk_to_rgb(picture.pixels, file.info.saw_Adobe_marker != 0);
    picture.extent.channels = 3;
  }
  return turned(std::move(picture), orientation);
}

}  // namespace convoy
