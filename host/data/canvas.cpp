// Rectangles, text and small images on an RGB page.
#include "data/canvas.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "convoy/error.hpp"
#include "io/atomic_file.hpp"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb_easy_font.h>
#include <stb_image_write.h>
#pragma GCC diagnostic pop

namespace convoy {
namespace {

struct Box {
  int left, top, right, bottom;
};

// stb_easy_font has no letters beyond ASCII and would look for them outside its table: one question mark for each.
std::string ascii_of(const std::string& words) {
  std::string ascii;
  for (const char letter : words) {
    const auto byte = static_cast<unsigned char>(letter);
    const bool is_continuation = (byte & 0xc0u) == 0x80u;  // of a UTF-8 letter
    if (!is_continuation) ascii += byte >= ' ' && byte <= '~' ? letter : '?';
  }
  return ascii;
}

// The rectangles of a line of text, its upper left corner at (0, 0).
std::vector<Box> boxes_of(const std::string& words, int scale) {
  constexpr std::size_t kBytesPerLetter = 400;  // stb_easy_font: 270 on average
  struct Vertex {
    float x, y, z;
    std::uint8_t colour[4];
  };
  std::string ascii = ascii_of(words);
  std::vector<Vertex> corners((ascii.size() + 1) * kBytesPerLetter / sizeof(Vertex));
  const int quads = stb_easy_font_print(0, 0, ascii.data(), nullptr, corners.data(),
                                        static_cast<int>(corners.size() * sizeof(Vertex)));
  const auto scaled = [&](float value) { return static_cast<int>(value * static_cast<float>(scale)); };
  std::vector<Box> boxes;
  for (std::size_t i = 0; i < static_cast<std::size_t>(quads); ++i) {
    const Vertex &first = corners[4 * i], &opposite = corners[4 * i + 2];
    boxes.push_back({scaled(first.x), scaled(first.y), scaled(opposite.x), scaled(opposite.y)});
  }
  return boxes;
}

}  // namespace

int text_width(const std::string& words, int scale) { return stb_easy_font_width(ascii_of(words).data()) * scale; }

Canvas::Canvas(int width, int height) : width_(width), height_(height) {
  pixels_.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
  rectangle(0, 0, width, height, kPaper);
}

void Canvas::rectangle(int left, int top, int right, int bottom, Colour colour) {
  for (int y = std::max(0, top); y < std::min(height_, bottom); ++y) {
    for (int x = std::max(0, left); x < std::min(width_, right); ++x) std::memcpy(at(x, y), colour.data(), 3);
  }
}

void Canvas::text(int left, int top, const std::string& words, Colour colour, int scale) {
  for (const Box& box : boxes_of(words, scale)) {
    rectangle(left + box.left, top + box.top, left + box.right, top + box.bottom, colour);
  }
}

void Canvas::text_upwards(int left, int bottom, const std::string& words, Colour colour, int scale) {
  for (const Box& box : boxes_of(words, scale)) {
    rectangle(left + box.top, bottom - box.right, left + box.bottom, bottom - box.left, colour);
  }
}

void Canvas::image(int left, int top, const Extent& extent, const std::uint8_t* from, int zoom) {
  for (int y = 0; y < extent.height; ++y) {
    for (int x = 0; x < extent.width; ++x, from += extent.channels) {
      const Colour colour =
          extent.channels == 1 ? Colour{from[0], from[0], from[0]} : Colour{from[0], from[1], from[2]};
      rectangle(left + zoom * x, top + zoom * y, left + zoom * (x + 1), top + zoom * (y + 1), colour);
    }
  }
}

void Canvas::write(const std::string& path) const {
  std::string png;
  const auto append = [](void* to, void* bytes, int count) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(bytes), static_cast<std::size_t>(count));
  };
  CONVOY_CHECK(stbi_write_png_to_func(append, &png, width_, height_, 3, pixels_.data(), width_ * 3) != 0,
               "{}: cannot be drawn: no memory for a picture of {} x {}", path, width_, height_);
  write_file_atomically(path, png);  // stb's own files say nothing of a full disk
}

std::uint8_t* Canvas::at(int x, int y) {
  return pixels_.data() +
         (static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x)) * 3;
}

}  // namespace convoy
