// Rows first, then columns, each output pixel a weighted sum of a few neighbouring input pixels.
#include "data/resize.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace convoy {
namespace {

struct Taps {
  std::size_t first = 0;  // input pixel
  std::vector<float> weights;
};

// What every output pixel takes of a line of `size` pixels, of which [start, start + length) is wanted. A pixel covers
// [i, i + 1) and has its colour in the middle.
std::vector<Taps> taps_of(int size, double start, double length, int outputs) {
  const double step = length / outputs;
  std::vector<Taps> all(static_cast<std::size_t>(outputs));
  for (int i = 0; i < outputs; ++i) {
    Taps& taps = all[static_cast<std::size_t>(i)];
    if (step >= 1) {  // the average over [begin, end)
      const double begin = start + i * step, end = start + (i + 1) * step;
      const int first = std::clamp(static_cast<int>(begin), 0, size - 1);
      const int last = std::clamp(static_cast<int>(std::ceil(end)), first + 1, size);
      taps.first = static_cast<std::size_t>(first);
      for (int j = first; j < last; ++j) {
        const double covered = std::min(end, j + 1.0) - std::max(begin, static_cast<double>(j));
        taps.weights.push_back(static_cast<float>(std::max(0.0, covered) / step));
      }
    } else {  // between the middles of two pixels; beyond the first and last middle, theirs
      const double place = std::clamp(start + (i + 0.5) * step - 0.5, 0.0, size - 1.0);
      const int first = std::min(static_cast<int>(place), std::max(0, size - 2));
      taps.first = static_cast<std::size_t>(first);
      const auto share = static_cast<float>(place - first);
      taps.weights = size == 1 ? std::vector<float>{1} : std::vector<float>{1 - share, share};
    }
  }
  return all;
}

}  // namespace

std::vector<std::uint8_t> fit(const Picture& picture, int height, int width) {
  const Extent& from = picture.extent;
  if (from.height == height && from.width == width) return picture.pixels;
  const double step = std::min(static_cast<double>(from.height) / height, static_cast<double>(from.width) / width);
  const double used_height = step * height, used_width = step * width;
  const std::vector<Taps> rows = taps_of(from.height, (from.height - used_height) / 2, used_height, height);
  const std::vector<Taps> columns = taps_of(from.width, (from.width - used_width) / 2, used_width, width);
  const auto channels = static_cast<std::size_t>(from.channels);
  const std::size_t stride = static_cast<std::size_t>(from.width) * channels;
  std::vector<std::uint8_t> result(rows.size() * columns.size() * channels);
  std::vector<float> line(stride);  // one output row over the whole input width
  std::uint8_t* to = result.data();
  for (const Taps& row : rows) {
    std::fill(line.begin(), line.end(), 0.0F);
    for (std::size_t k = 0; k < row.weights.size(); ++k) {
      const std::uint8_t* pixels = picture.pixels.data() + (row.first + k) * stride;
      for (std::size_t x = 0; x < stride; ++x) line[x] += row.weights[k] * static_cast<float>(pixels[x]);
    }
    for (const Taps& column : columns) {
      for (std::size_t c = 0; c < channels; ++c) {
        float sum = 0;
        for (std::size_t k = 0; k < column.weights.size(); ++k) {
          sum += column.weights[k] * line[(column.first + k) * channels + c];
        }
        *to++ = static_cast<std::uint8_t>(std::clamp(sum + 0.5F, 0.0F, 255.0F));
      }
    }
  }
  return result;
}

std::vector<std::uint8_t> fit_to(const Picture& picture, const Extent& to) {
  std::vector<std::uint8_t> pixels = fit(picture, to.height, to.width);
  if (to.channels == picture.extent.channels) return pixels;
  return to.channels == 1 ? to_grey(pixels) : to_rgb(pixels);
}

std::vector<std::uint8_t> to_grey(const std::vector<std::uint8_t>& rgb) {
  std::vector<std::uint8_t> grey(rgb.size() / 3);
  for (std::size_t i = 0; i < grey.size(); ++i) {
    grey[i] = static_cast<std::uint8_t>((299 * rgb[3 * i] + 587 * rgb[3 * i + 1] + 114 * rgb[3 * i + 2] + 500) / 1000);
  }
  return grey;
}

std::vector<std::uint8_t> to_rgb(const std::vector<std::uint8_t>& grey) {
  std::vector<std::uint8_t> rgb(3 * grey.size());
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = grey[i / 3];
  return rgb;
}

}  // namespace convoy
