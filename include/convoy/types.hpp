// The few plain types that every part shares: element types, image extents, activations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace convoy {

// What a tensor's elements are in memory.
enum class DType : std::uint8_t { f32, bf16, f16 };

// What the user asks for with --precision: the compute type, and what products may round to.
enum class Precision : std::uint8_t { fp32, tf32, bf16, fp16 };

constexpr std::size_t bytes_per_element(DType type) { return type == DType::f32 ? 4 : 2; }

constexpr DType compute_type(Precision precision) {
  switch (precision) {
    case Precision::bf16:
      return DType::bf16;
    case Precision::fp16:
      return DType::f16;
    default:
      return DType::f32;
  }
}

constexpr std::string_view name(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::tf32:
      return "tf32";
    case Precision::bf16:
      return "bf16";
    case Precision::fp16:
      return "fp16";
  }
  return "?";
}

enum class Activation : std::uint8_t { none, relu, gelu, silu };

// Training uses batch statistics, dropout and keeps what the backward pass reads; evaluation none of it.
enum class Mode : std::uint8_t { train, evaluate };

// Extent of one sample's activation: height, width, channels. A vector is 1 x 1 x C.
struct Extent {
  int height = 1;
  int width = 1;
  int channels = 1;
  std::int64_t elements() const { return std::int64_t{height} * width * channels; }
  bool operator==(const Extent&) const = default;
};

// Height and width of a kernel or stride.
struct Size2 {
  int height = 1;
  int width = 1;
  bool operator==(const Size2&) const = default;
};

// Zero padding in pixels on each side.
struct Padding {
  int top = 0, bottom = 0, left = 0, right = 0;
  bool operator==(const Padding&) const = default;
};

constexpr std::size_t kAlignment = 256;  // bytes; every tensor in an arena starts at a multiple of it
constexpr std::size_t align_up(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace convoy
