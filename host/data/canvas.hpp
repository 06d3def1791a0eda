// Rectangles, text and small images on an RGB page, written as PNG. Text is drawn with stb_easy_font, whose letters are
// rectangles; letters beyond ASCII become question marks.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "convoy/types.hpp"

namespace convoy {

using Colour = std::array<std::uint8_t, 3>;
inline constexpr Colour kPaper{250, 250, 248};
inline constexpr Colour kInk{35, 35, 40};
inline constexpr Colour kFaint{120, 120, 125};

inline constexpr int kTextScale = 2;  // stb_easy_font's letters are 7 pixels high
constexpr int text_height(int scale = kTextScale) { return 7 * scale; }
int text_width(const std::string& words, int scale = kTextScale);

class Canvas {
 public:
  Canvas(int width, int height);  // all paper

  void rectangle(int left, int top, int right, int bottom, Colour colour);
  void text(int left, int top, const std::string& words, Colour colour, int scale = kTextScale);
  // Read from the bottom up, beginning at (left, bottom).
  void text_upwards(int left, int bottom, const std::string& words, Colour colour, int scale = kTextScale);
  void image(int left, int top, const Extent& extent, const std::uint8_t* pixels, int zoom);
  // Error where the file cannot be written.
  void write(const std::string& path) const;

 private:
  std::uint8_t* at(int x, int y);

  int width_, height_;
  std::vector<std::uint8_t> pixels_;
};

}  // namespace convoy
