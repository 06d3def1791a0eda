// Arithmetic over flat arrays: sums, norms, checks. One thread's share each; the callers divide the work.
#pragma once

#include <cstdint>

namespace convoy::cpu {

struct ArenaKernels {
  void (*add_f32)(float* a, const float* b, std::int64_t count) = nullptr;  // a += b
  void (*add_bf16)(std::uint16_t* a, const std::uint16_t* b, std::int64_t count) = nullptr;
  void (*scale_add)(float* a, const float* b, float factor, std::int64_t count) = nullptr;  // a += factor * b
  void (*scale)(float* to, const float* from, float factor, std::int64_t count) = nullptr;  // to = factor * from
  // sums[c] = the sum over rows of values [rows, columns].
  void (*column_sums_f32)(const float* values, std::int64_t rows, int columns, float* sums) = nullptr;
  void (*column_sums_bf16)(const std::uint16_t* values, std::int64_t rows, int columns, float* sums) = nullptr;
  double (*sum_of_squares)(const float* values, std::int64_t count) = nullptr;  // equal on every ISA
  // values *= factor; the sum of their squares then, as sum_of_squares adds them.
  double (*scale_and_square)(float* values, float factor, std::int64_t count) = nullptr;
  bool (*all_finite)(const float* values, std::int64_t count) = nullptr;
  // Sum of checksum_mix(words[i], first + i), see convoy/checksum.hpp.
  std::uint64_t (*checksum)(const std::uint32_t* words, std::int64_t count, std::uint64_t first) = nullptr;
};

}  // namespace convoy::cpu
