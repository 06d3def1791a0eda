// How an activation [N,H,W,C] lies in memory on the CPU backend: [N][C/block][H][W][block], oneDNN's nChw8c and
// nChw16c. Channels are padded with zeros to whole blocks. Images of up to three channels lie as planes, NCHW
// (block 1), as oneDNN's first-layer kernels want them; vectors of odd length are one block as wide as they are.
// For AMX, whose kernels know no blocks, every activation is one block as wide as it is: NHWC.
#pragma once

#include <cstddef>
#include <cstdint>

#include "convoy/types.hpp"

namespace convoy::cpu {

struct Layout {
  int blocks = 1;
  int block = 1;  // channels adjacent in memory
  int height = 1, width = 1;
  int channels = 1;  // logical; blocks * block is at least this

  std::int64_t pixels() const { return std::int64_t{height} * width; }
  std::int64_t sample_elements() const { return pixels() * blocks * block; }
};

constexpr int kMostPlanes = 3;    // channels; more are faster in a padded block
constexpr int kChannelsLast = 0;  // instead of a width

// The one rule by which every operation knows its neighbours' layout. `native` is 8 (AVX2) or 16 (AVX-512), the
// width of oneDNN's blocked kernels, or kChannelsLast (AMX).
inline Layout layout_of(const Extent& extent, int native) {
  if (native == kChannelsLast) return {1, extent.channels, extent.height, extent.width, extent.channels};
  const std::int64_t pixels = std::int64_t{extent.height} * extent.width;
  if (pixels == 1 && extent.channels % native != 0) return {1, extent.channels, 1, 1, extent.channels};
  if (extent.channels <= kMostPlanes) return {extent.channels, 1, extent.height, extent.width, extent.channels};
  return {(extent.channels + native - 1) / native, native, extent.height, extent.width, extent.channels};
}

}  // namespace convoy::cpu
