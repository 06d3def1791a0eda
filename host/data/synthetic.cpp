// A made-up data set in CIFAR's shape. Every class looks the same mirrored, so that augmentation keeps labels true.
#include "data/synthetic.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "convoy/error.hpp"
#include "convoy/philox.hpp"
#include "data/image_memory.hpp"
#include "data/parallel.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

constexpr std::string_view kWord = "synthetic";
constexpr int kSide = 32;
constexpr int kChannels = 3;
constexpr int kUnit = 4;  // drawing happens in quarters of a pixel, two samples a pixel and direction

// Whether the point (x, y), relative to the centre, belongs to a shape of "radius" r; all in quarter pixels.
using Inside = bool (*)(int x, int y, int r);

struct Shape {
  const char* name;
  Inside inside;
};

int larger(int x, int y) { return std::max(std::abs(x), std::abs(y)); }

constexpr Shape kShapes[] = {
    {"disc", [](int x, int y, int r) { return x * x + y * y <= r * r; }},
    {"ring", [](int x, int y, int r) { return x * x + y * y <= r * r && 25 * (x * x + y * y) >= 9 * r * r; }},
    {"square", [](int x, int y, int r) { return larger(x, y) * 10 <= 9 * r; }},
    {"frame", [](int x, int y, int r) { return larger(x, y) * 10 <= 9 * r && larger(x, y) * 20 >= 11 * r; }},
    {"diamond", [](int x, int y, int r) { return (std::abs(x) + std::abs(y)) * 5 <= 6 * r; }},
    {"triangle", [](int x, int y, int r) { return std::abs(y) <= r && 2 * std::abs(x) <= y + r; }},
    {"plus", [](int x, int y, int r) { return larger(x, y) <= r && std::min(std::abs(x), std::abs(y)) * 4 <= r; }},
    {"saltire", [](int x, int y, int r) { return larger(x, y) <= r && std::abs(std::abs(x) - std::abs(y)) * 3 <= r; }},
    {"bars", [](int x, int y, int r) { return larger(x, y) <= r && (y + r) * 5 / (2 * r + 1) % 2 == 0; }},
    {"columns", [](int x, int y, int r) { return larger(x, y) <= r && (x + r) * 5 / (2 * r + 1) % 2 == 0; }},
};
constexpr int kClasses = static_cast<int>(std::size(kShapes));

// Where and how one sample's shape is drawn.
struct Drawing {
  int centre_x = 0, centre_y = 0, radius = 0;  // quarter pixels
  std::array<int, kChannels> background{}, foreground{};
  int noise = 0;  // amplitude
};

enum Salt : std::uint32_t { kGeometry = 0, kColours = 1, kContrast = 2, kNoise = 3 };

Drawing drawing_of(std::uint64_t seed, std::uint32_t part, std::uint64_t sample) {
  const Random4 geometry = random_bits(seed, Purpose::synthetic, part, sample, kGeometry);
  const Random4 colours = random_bits(seed, Purpose::synthetic, part, sample, kColours);
  const Random4 contrast = random_bits(seed, Purpose::synthetic, part, sample, kContrast);
  Drawing d;
  d.radius = kUnit * 6 + static_cast<int>(below(geometry.x, kUnit * 6));  // 6 to 12 pixels
  const auto free = static_cast<std::uint32_t>(kUnit * kSide - 2 * d.radius);
  d.centre_x = d.radius + static_cast<int>(below(geometry.y, free));
  d.centre_y = d.radius + static_cast<int>(below(geometry.z, free));
  d.noise = 24 + static_cast<int>(below(geometry.w, 48));
  const std::array<std::uint32_t, kChannels> base{colours.x, colours.y, colours.z};
  const std::array<std::uint32_t, kChannels> step{contrast.x, contrast.y, contrast.z};
  // Lighter or darker than the background in every channel, by 30 to 100 steps: colour itself tells nothing.
  const int sign = (contrast.w & 1) != 0 ? 1 : -1;
  for (std::size_t c = 0; c < kChannels; ++c) {
    d.background[c] = 64 + static_cast<int>(below(base[c], 128));
    d.foreground[c] = d.background[c] + sign * (30 + static_cast<int>(below(step[c], 70)));
  }
  return d;
}

// Samples of the pixel inside the shape, 0 to 4.
int coverage(const Drawing& d, Inside inside, int pixel_x, int pixel_y) {
  int covered = 0;
  for (const int dy : {1, 3}) {
    for (const int dx : {1, 3}) {
      covered += inside(pixel_x * kUnit + dx - d.centre_x, pixel_y * kUnit + dy - d.centre_y, d.radius) ? 1 : 0;
    }
  }
  return covered;
}

void draw(std::uint64_t seed, std::uint32_t part, std::uint64_t sample, Inside inside, std::uint8_t* pixels) {
  const Drawing d = drawing_of(seed, part, sample);
  Random4 bits{};
  for (int i = 0; i < kSide * kSide; ++i) {
    const int covered = coverage(d, inside, i % kSide, i / kSide);
    for (int c = 0; c < kChannels; ++c) {
      const int element = i * kChannels + c;
      // One 32-bit word an element: four to a block, whose number is the salt.
      if (element % 4 == 0) {
        bits = random_bits(seed, Purpose::synthetic, part, sample, kNoise + static_cast<std::uint32_t>(element / 4));
      }
      const std::array<std::uint32_t, 4> words{bits.x, bits.y, bits.z, bits.w};
      // The sum of two uniform numbers: a triangular distribution.
      const std::uint32_t word = words[static_cast<std::size_t>(element % 4)];
      const int triangular = static_cast<int>(word & 0xFFFF) - static_cast<int>(word >> 16);  // -65535 .. 65535
      const auto channel = static_cast<std::size_t>(c);
      const int clean = (d.background[channel] * (4 - covered) + d.foreground[channel] * covered) / 4;
      pixels[element] = static_cast<std::uint8_t>(std::clamp(clean + triangular * d.noise / 65536, 0, 255));
    }
  }
}

ImageSet make_part(std::uint64_t count, std::uint64_t seed, std::uint32_t part) {
  constexpr std::size_t kBlock = 256;  // images a thread takes at a time
  ImageSet set;
  make_room(set, {kSide, kSide, kChannels}, count);
  const auto bytes = static_cast<std::size_t>(set.image.elements());
  parallel_for((count + kBlock - 1) / kBlock, [&](std::size_t block) {
    for (std::size_t i = block * kBlock; i < std::min<std::size_t>(count, (block + 1) * kBlock); ++i) {
      const std::size_t label = i % kClasses;
      set.labels[i] = static_cast<std::int32_t>(label);
      draw(seed, part, i, kShapes[label].inside, set.images.data() + i * bytes);
    }
  });
  return set;
}

}  // namespace

bool is_synthetic(const std::string& path) {
  return path == kWord || (path.starts_with(kWord) && path.size() > kWord.size() && path[kWord.size()] == ':');
}

std::uint64_t synthetic_count(const std::string& path) {
  if (path == kWord) return kSyntheticCount;
  const std::string number = path.substr(kWord.size() + 1);
  std::uint64_t count = 0;
  const auto [end, problem] = std::from_chars(number.data(), number.data() + number.size(), count);
  if (problem != std::errc() || end != number.data() + number.size() || count < kFewestSynthetic ||
      count > kMostSynthetic) {
    fail_usage("{}: synthetic:COUNT with a count from {} to {} expected", printable(path), kFewestSynthetic,
               grouped(kMostSynthetic));
  }
  return count;
}

Dataset make_synthetic(std::uint64_t count, std::uint64_t seed) {
  Dataset data;
  data.name = "SYNTHETIC";
  for (const Shape& shape : kShapes) data.class_names.emplace_back(shape.name);
  data.train = make_part(count, seed, 0);
  data.test = make_part(std::max<std::uint64_t>(kClasses, count / 5), seed, 1);
  return data;
}

}  // namespace convoy
