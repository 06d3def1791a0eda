// A few adjacent channels as one value: the compiler's portable vector type (GCC's and clang's vector_size), loaded
// from and stored to fp32 or bf16 memory. Arithmetic is fp32. For files compiled once per instruction set.
#pragma once

#include <cstdint>

#include "convoy/types.hpp"

#ifndef CONVOY_ISA
#error "CMake compiles this file once per instruction set with -DCONVOY_ISA=baseline|avx2|avx512"
#endif
#define CONVOY_INLINE inline __attribute__((always_inline))

// Vectors wider than the processor's registers are passed in memory; nothing here crosses a file.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace convoy::cpu::CONVOY_ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

template <typename Element, int width>
struct VectorOf {
  typedef Element type __attribute__((vector_size(width * sizeof(Element))));
  typedef Element unaligned __attribute__((vector_size(width * sizeof(Element)), aligned(sizeof(Element)), may_alias));
};
template <int width>
using Floats = typename VectorOf<float, width>::type;
template <int width>
using Ints = typename VectorOf<std::int32_t, width>::type;
template <int width>
using Words = typename VectorOf<std::uint32_t, width>::type;

using bf16 = std::uint16_t;

template <int width>
CONVOY_INLINE Floats<width> splat(float value) {
  return Floats<width>{} + value;
}

CONVOY_INLINE float widen(float value) { return value; }
CONVOY_INLINE float widen(bf16 value) { return __builtin_bit_cast(float, std::uint32_t{value} << 16); }

// A zero before each element makes the upper half of a little-endian fp32; the compilers need it spelt out to find
// the processor's interleaving instruction.
template <int width>
CONVOY_INLINE Floats<width> widen(typename VectorOf<bf16, width>::type value) {
  static_assert(width == 4 || width == 8 || width == 16);
  constexpr typename VectorOf<bf16, width>::type kZero{};
  if constexpr (width == 4) {
    return __builtin_bit_cast(Floats<width>, __builtin_shufflevector(kZero, value, 0, 4, 1, 5, 2, 6, 3, 7));
  } else if constexpr (width == 8) {
    return __builtin_bit_cast(
        Floats<width>, __builtin_shufflevector(kZero, value, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
  } else {
    return __builtin_bit_cast(
        Floats<width>, __builtin_shufflevector(kZero, value, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8,
                                               24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
  }
}

// Round to nearest even; a NaN stays one.
template <int width>
CONVOY_INLINE typename VectorOf<bf16, width>::type narrow(Floats<width> value) {
  const auto bits = __builtin_bit_cast(Words<width>, value);
  const Words<width> rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const Words<width> quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector(value == value ? rounded : quiet, typename VectorOf<bf16, width>::type);
}

// `width` channels of one pixel; a partial group (at the end of a plain layout) has fewer.
template <int width, bool full, typename T>
CONVOY_INLINE Floats<width> load(const T* from, int lanes) {
  if constexpr (full && sizeof(T) == 4) {
    return *reinterpret_cast<const typename VectorOf<float, width>::unaligned*>(from);
  } else if constexpr (full) {
    return widen<width>(*reinterpret_cast<const typename VectorOf<bf16, width>::unaligned*>(from));
  } else {
    Floats<width> value{};
    for (int lane = 0; lane < lanes; ++lane) value[lane] = widen(from[lane]);
    return value;
  }
}

template <int width, bool full, typename T>
CONVOY_INLINE void store(T* to, Floats<width> value, int lanes) {
  if constexpr (full && sizeof(T) == 4) {
    *reinterpret_cast<typename VectorOf<float, width>::unaligned*>(to) = value;
  } else if constexpr (full) {
    *reinterpret_cast<typename VectorOf<bf16, width>::unaligned*>(to) = narrow<width>(value);
  } else if constexpr (sizeof(T) == 4) {
    for (int lane = 0; lane < lanes; ++lane) to[lane] = value[lane];
  } else {
    const auto narrowed = narrow<width>(value);
    for (int lane = 0; lane < lanes; ++lane) to[lane] = narrowed[lane];
  }
}

// Small whole numbers kept as bytes or 16-bit words.
template <int width, bool full, typename Index>
CONVOY_INLINE Ints<width> load_index(const Index* from, int lanes) {
  if constexpr (full) {
    // Through 16 bits: GCC 12 makes scalar code of the step from bytes to 32 bits.
    using Halves = typename VectorOf<std::uint16_t, width>::type;
    const auto index = *reinterpret_cast<const typename VectorOf<Index, width>::unaligned*>(from);
    return __builtin_convertvector(__builtin_convertvector(index, Halves), Ints<width>);
  } else {
    Ints<width> value{};
    for (int lane = 0; lane < lanes; ++lane) value[lane] = from[lane];
    return value;
  }
}

template <int width, bool full, typename Index>
CONVOY_INLINE void store_index(Index* to, Ints<width> value, int lanes) {
  if constexpr (full) {
    using Halves = typename VectorOf<std::uint16_t, width>::type;
    *reinterpret_cast<typename VectorOf<Index, width>::unaligned*>(to) =
        __builtin_convertvector(__builtin_convertvector(value, Halves), typename VectorOf<Index, width>::type);
  } else {
    for (int lane = 0; lane < lanes; ++lane) to[lane] = static_cast<Index>(value[lane]);
  }
}

// Calls body.operator()<width, full>(first channel, channels) for pieces that make up a block of channels.
template <typename Body>
CONVOY_INLINE void for_lane_groups(int block, Body&& body) {
  int first = 0;
  for (; first + kLanes <= block; first += kLanes) body.template operator()<kLanes, true>(first, kLanes);
  if constexpr (kLanes > 8) {
    for (; first + 8 <= block; first += 8) body.template operator()<8, true>(first, 8);
  }
  if (first < block) body.template operator()<kLanes, false>(first, block - first);
}

// Calls body.operator()<T>() with the storage type.
template <typename Body>
CONVOY_INLINE void with_type(DType type, Body&& body) {
  if (type == DType::f32) {
    body.template operator()<float>();
  } else {
    body.template operator()<bf16>();
  }
}

}  // namespace convoy::cpu::CONVOY_ISA
