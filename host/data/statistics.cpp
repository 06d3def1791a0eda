// Mean and standard deviation of a set's pixels.
#include "data/statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "convoy/error.hpp"
#include "data/parallel.hpp"

namespace convoy {
namespace {

constexpr std::size_t kMaxChannels = 4;

struct Sums {
  std::array<std::uint64_t, kMaxChannels> values{}, squares{};
};

// Images are summed in 32 bits first (65,536 squares of 255 fit), which the compiler turns into vector code.
template <std::size_t channels>
void add_image(const std::uint8_t* pixels, std::size_t count, Sums& sums) {
  std::array<std::uint32_t, channels> values{}, squares{};
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t c = 0; c < channels; ++c) {
      const std::uint32_t value = pixels[i * channels + c];
      values[c] += value;
      squares[c] += value * value;
    }
  }
  for (std::size_t c = 0; c < channels; ++c) {
    sums.values[c] += values[c];
    sums.squares[c] += squares[c];
  }
}

}  // namespace

ChannelStatistics channel_statistics(const ImageSet& set) {
  constexpr std::size_t kBlock = 1024;
  const auto pixels = static_cast<std::size_t>(set.image.height) * static_cast<std::size_t>(set.image.width);
  const auto channels = static_cast<std::size_t>(set.image.channels);
  CONVOY_CHECK(channels == 1 || channels == 3, "images of 1 or 3 channels expected, found {}", channels);
  CONVOY_CHECK(set.count() > 0, "statistics of at least one image expected, found none");
  CONVOY_CHECK(pixels <= 65'536, "images of at most 65,536 pixels expected, found {}", pixels);
  std::vector<Sums> blocks((set.count() + kBlock - 1) / kBlock);
  parallel_for(blocks.size(), [&](std::size_t block) {
    const std::size_t end = std::min(set.count(), (block + 1) * kBlock);
    for (std::size_t i = block * kBlock; i < end; ++i) {
      if (channels == 3) {
        add_image<3>(set.at(i), pixels, blocks[block]);
      } else {
        add_image<1>(set.at(i), pixels, blocks[block]);
      }
    }
  });
  ChannelStatistics result;
  const double count = static_cast<double>(pixels) * static_cast<double>(set.count());
  for (std::size_t c = 0; c < channels; ++c) {
    std::uint64_t values = 0, squares = 0;
    for (const Sums& sums : blocks) {
      values += sums.values[c];
      squares += sums.squares[c];
    }
    const double mean = static_cast<double>(values) / count;
    const double variance = std::max(0.0, static_cast<double>(squares) / count - mean * mean);
    result.mean.push_back(mean / 255);
    result.deviation.push_back(std::sqrt(variance) / 255);
  }
  return result;
}

std::vector<std::size_t> class_counts(const ImageSet& set, int classes) {
  std::vector<std::size_t> counts(static_cast<std::size_t>(classes));
  for (const std::int32_t label : set.labels) ++counts.at(static_cast<std::size_t>(label));
  return counts;
}

}  // namespace convoy
