// The arena kernels; compiled once per instruction set. Sums run in kLanes interleaved parts whatever the vector
// width, so that every instruction set rounds alike.
#include "cpu/kernels/arena.hpp"

#include "cpu/kernels/providers.hpp"

namespace convoy::cpu::CONVOY_ISA {
namespace {

constexpr int kLanes = 16;

inline float widen(std::uint16_t value) { return __builtin_bit_cast(float, static_cast<std::uint32_t>(value) << 16); }

// Round to nearest even; a NaN stays one.
inline std::uint16_t narrow(float value) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const std::uint32_t quiet_nan = (bits >> 16) | 0x40u;
  return static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded);
}

void add_f32(float* __restrict a, const float* __restrict b, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) a[i] += b[i];
}

void add_bf16(std::uint16_t* __restrict a, const std::uint16_t* __restrict b, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) a[i] = narrow(widen(a[i]) + widen(b[i]));
}

void scale_add(float* __restrict a, const float* __restrict b, float factor, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) a[i] += factor * b[i];
}

void scale(float* to, const float* from, float factor, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = factor * from[i];
}

inline float value_of(float value) { return value; }
inline float value_of(std::uint16_t value) { return widen(value); }

// Fixed `width`: the sums stay in registers. Every kRun rows they are added to the totals, against rounding.
template <int width, typename T>
void column_sums_of_block(const T* __restrict values, std::int64_t rows, float* __restrict sums) {
  constexpr std::int64_t kRun = 128;
  float total[width] = {};
  for (std::int64_t first = 0; first < rows; first += kRun) {
    const std::int64_t last = first + kRun < rows ? first + kRun : rows;
    float part[width] = {};
    for (std::int64_t row = first; row < last; ++row) {
      for (int c = 0; c < width; ++c) part[c] += value_of(values[row * width + c]);
    }
    for (int c = 0; c < width; ++c) total[c] += part[c];
  }
  for (int c = 0; c < width; ++c) sums[c] = total[c];
}

template <typename T>
void column_sums(const T* values, std::int64_t rows, int columns, float* sums) {
  if (columns == 8) return column_sums_of_block<8>(values, rows, sums);
  if (columns == 16) return column_sums_of_block<16>(values, rows, sums);
  for (int c = 0; c < columns; ++c) {
    double sum = 0;
    for (std::int64_t row = 0; row < rows; ++row) sum += value_of(values[row * columns + c]);
    sums[c] = static_cast<float>(sum);
  }
}

// Of value_at(i).
template <typename Function>
double sum_of_squares(std::int64_t count, const Function& value_at) {
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = value_at(i + lane);
      lanes[lane] += value * value;
    }
  }
  for (int lane = 0; i + lane < count; ++lane) {
    const double value = value_at(i + lane);
    lanes[lane] += value * value;
  }
  double sum = 0;
  for (double part : lanes) sum += part;
  return sum;
}

double sum_of_squares(const float* __restrict values, std::int64_t count) {
  return sum_of_squares(count, [values](std::int64_t i) { return values[i]; });
}

double scale_and_square(float* __restrict values, float factor, std::int64_t count) {
  return sum_of_squares(count, [values, factor](std::int64_t i) { return values[i] *= factor; });
}

bool all_finite(const float* __restrict values, std::int64_t count) {
  std::uint32_t bad = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, values[i]);
    bad |= (bits & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
  }
  return bad == 0;
}

// checksum_mix of convoy/checksum.hpp again: this file may include no inline function of others.
inline std::uint64_t mix(std::uint32_t word, std::uint64_t index) {
  std::uint64_t z = word + (index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

std::uint64_t checksum(const std::uint32_t* __restrict words, std::int64_t count, std::uint64_t first) {
  std::uint64_t sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += mix(words[i], first + static_cast<std::uint64_t>(i));
  return sum;
}

}  // namespace

ArenaKernels arena_kernels() {
  return {.add_f32 = add_f32,
          .add_bf16 = add_bf16,
          .scale_add = scale_add,
          .scale = scale,
          .column_sums_f32 = column_sums<float>,
          .column_sums_bf16 = column_sums<std::uint16_t>,
          .sum_of_squares = sum_of_squares,
          .scale_and_square = scale_and_square,
          .all_finite = all_finite,
          .checksum = checksum};
}

}  // namespace convoy::cpu::CONVOY_ISA
