// Pixels to the network's numbers: the one arithmetic step between the data and the first layer.
#pragma once

#include <cstdint>

namespace convoy::cpu {

// Scale and offset repeat with this period: whole pixels of 1 or 3 channels and whole vectors of up to 16 floats.
constexpr int kPixelPeriod = 48;

struct InputKernels {
  // out[i] = fma(fma(pixels[i], contrast, shift), scale[i % kPixelPeriod], offset[i % kPixelPeriod]); equal to the bit
  // on every instruction set. bf16 rounds to nearest even.
  void (*pixels_to_f32)(const std::uint8_t* pixels, std::int64_t count, float contrast, float shift, const float* scale,
                        const float* offset, float* out) = nullptr;
  void (*pixels_to_bf16)(const std::uint8_t* pixels, std::int64_t count, float contrast, float shift,
                         const float* scale, const float* offset, std::uint16_t* out) = nullptr;
};

}  // namespace convoy::cpu
