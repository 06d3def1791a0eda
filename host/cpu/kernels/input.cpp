// The input kernels; compiled once per instruction set.
#include "cpu/kernels/input.hpp"

#include "cpu/kernels/providers.hpp"

namespace convoy::cpu::CONVOY_ISA {
namespace {

// Two explicit fused multiply-adds and nothing else that rounds, so that every processor gives the same bits. Without
// contrast the first is exact.
inline float value_of(std::uint8_t pixel, float contrast, float shift, float scale, float offset) {
  return __builtin_fmaf(__builtin_fmaf(static_cast<float>(pixel), contrast, shift), scale, offset);
}

inline void store(float value, float* to) { *to = value; }

// Round to nearest even; pixels are finite.
inline void store(float value, std::uint16_t* to) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  *to = static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

template <typename T>
void convert(const std::uint8_t* __restrict pixels, std::int64_t count, float contrast, float shift, float scale,
             float offset, T* __restrict out) {
  for (std::int64_t i = 0; i < count; ++i) store(value_of(pixels[i], contrast, shift, scale, offset), &out[i]);
}

}  // namespace

InputKernels input_kernels() { return {.pixels_to_f32 = convert<float>, .pixels_to_bf16 = convert<std::uint16_t>}; }

}  // namespace convoy::cpu::CONVOY_ISA
