// A contact sheet of labelled pictures as a PNG. Text is drawn with stb_easy_font, whose letters are rectangles.
#include "data/picture.hpp"

#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include "convoy/error.hpp"
#include "data/text.hpp"

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

constexpr int kZoom = 2;
constexpr int kColumns = 16;
constexpr int kGap = 4;        // between pictures
constexpr int kMargin = 16;    // around everything
constexpr int kTextScale = 2;  // stb_easy_font's letters are 7 pixels high
constexpr int kTextHeight = 7 * kTextScale;
constexpr int kHeader = kTextHeight + kMargin;

using Colour = std::array<std::uint8_t, 3>;
constexpr Colour kPaper{250, 250, 248};
constexpr Colour kInk{35, 35, 40};
constexpr Colour kFaint{120, 120, 125};

class Canvas {
 public:
  Canvas(int width, int height) : width_(width), height_(height) {
    pixels_.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
    rectangle(0, 0, width, height, kPaper);
  }

  void rectangle(int left, int top, int right, int bottom, Colour colour) {
    for (int y = std::max(0, top); y < std::min(height_, bottom); ++y) {
      for (int x = std::max(0, left); x < std::min(width_, right); ++x) std::memcpy(at(x, y), colour.data(), 3);
    }
  }

  void text(int left, int top, std::string words, Colour colour) {
    constexpr std::size_t kBytesPerLetter = 400;  // stb_easy_font: 270 on average
    struct Vertex {
      float x, y, z;
      std::uint8_t colour[4];
    };
    std::vector<Vertex> corners((words.size() + 1) * kBytesPerLetter / sizeof(Vertex));
    const int quads = stb_easy_font_print(0, 0, words.data(), nullptr, corners.data(),
                                          static_cast<int>(corners.size() * sizeof(Vertex)));
    const auto scaled = [](int origin, float value) { return origin + static_cast<int>(value * kTextScale); };
    for (std::size_t i = 0; i < static_cast<std::size_t>(quads); ++i) {
      const Vertex &first = corners[4 * i], &opposite = corners[4 * i + 2];
      rectangle(scaled(left, first.x), scaled(top, first.y), scaled(left, opposite.x), scaled(top, opposite.y), colour);
    }
  }

  void image(int left, int top, const Extent& extent, const std::uint8_t* from) {
    for (int y = 0; y < extent.height; ++y) {
      for (int x = 0; x < extent.width; ++x, from += extent.channels) {
        const Colour colour =
            extent.channels == 1 ? Colour{from[0], from[0], from[0]} : Colour{from[0], from[1], from[2]};
        rectangle(left + kZoom * x, top + kZoom * y, left + kZoom * (x + 1), top + kZoom * (y + 1), colour);
      }
    }
  }

  bool write(const std::string& path) const {
    return stbi_write_png(path.c_str(), width_, height_, 3, pixels_.data(), width_ * 3) != 0;
  }

 private:
  std::uint8_t* at(int x, int y) {
    return pixels_.data() +
           (static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x)) * 3;
  }

  int width_, height_;
  std::vector<std::uint8_t> pixels_;
};

int text_width(std::string words) { return stb_easy_font_width(words.data()) * kTextScale; }

// The first images of every class, in the order of the training set.
std::vector<std::vector<std::size_t>> first_of_each_class(const Dataset& data) {
  std::vector<std::vector<std::size_t>> rows(static_cast<std::size_t>(data.classes()));
  for (std::size_t i = 0; i < data.train.count(); ++i) {
    auto& row = rows[static_cast<std::size_t>(data.train.labels[i])];
    if (row.size() < kColumns) row.push_back(i);
  }
  return rows;
}

}  // namespace

void write_contact_sheet(const Dataset& data, const std::string& path) {
  const std::string title = fmt::format("{}: {} training images, {} test images, {} classes", data.name,
                                        grouped(data.train.count()), grouped(data.test.count()), data.classes());
  const Extent extent = data.train.image;
  const int cell_width = kZoom * extent.width + kGap, cell_height = kZoom * extent.height + kGap;
  int names = 0;
  for (const std::string& name : data.class_names) names = std::max(names, text_width(name));
  const int left = kMargin + names + kMargin, top = kMargin + kHeader;
  const int width = std::max(left + kColumns * cell_width - kGap, kMargin + text_width(title)) + kMargin;
  Canvas canvas(width, top + data.classes() * cell_height - kGap + kMargin);
  canvas.text(kMargin, kMargin, title, kFaint);
  const auto rows = first_of_each_class(data);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const int y = top + static_cast<int>(r) * cell_height;
    const std::string& name = data.class_names[r];
    canvas.text(kMargin + names - text_width(name), y + (kZoom * extent.height - kTextHeight) / 2, name, kInk);
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      canvas.image(left + static_cast<int>(c) * cell_width, y, extent, data.train.at(rows[r][c]));
    }
  }
  CONVOY_CHECK(canvas.write(path), "{}: cannot be written: is the folder there, and is there room?", path);
}

}  // namespace convoy
