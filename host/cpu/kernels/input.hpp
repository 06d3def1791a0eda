// Pixels to the network's numbers: the one arithmetic step between the data and the first layer.
#pragma once

#include <cstdint>

namespace convoy::cpu {

struct InputKernels {
  // One channel: out[i] = fma(fma(pixels[i], contrast, shift), scale, offset); equal to the bit on every instruction
  // set. bf16 rounds to nearest even.
  void (*pixels_to_f32)(const std::uint8_t* pixels, std::int64_t count, float contrast, float shift, float scale,
                        float offset, float* out) = nullptr;
  void (*pixels_to_bf16)(const std::uint8_t* pixels, std::int64_t count, float contrast, float shift, float scale,
                         float offset, std::uint16_t* out) = nullptr;
};

}  // namespace convoy::cpu
