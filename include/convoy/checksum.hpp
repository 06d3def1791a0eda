// The checksum of an arena, equal on every backend and for any order of the work: the sum modulo 2^64 of
// mix(w_i, i) over the 32-bit little-endian words w_i, the last one completed with zero bytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "convoy/philox.hpp"

namespace convoy {

// The output function of SplitMix64 (Steele, Lea and Flood 2014) at the word plus i steps of its generator: a change
// of one bit, two words swapped or a missing run of zeros each change about half of the sum's bits.
CONVOY_HOST_DEVICE constexpr std::uint64_t checksum_mix(std::uint32_t word, std::uint64_t index) {
  std::uint64_t z = word + (index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

constexpr std::uint64_t checksum_words(std::size_t bytes) { return (std::uint64_t{bytes} + 3) / 4; }

// Word `index` of host memory of `bytes` bytes.
inline std::uint32_t checksum_word(const void* data, std::size_t bytes, std::uint64_t index) {
  static_assert(std::endian::native == std::endian::little);
  std::uint32_t word = 0;
  const std::size_t start = index * 4;
  const std::size_t length = bytes - start < 4 ? bytes - start : 4;
  std::memcpy(&word, static_cast<const std::byte*>(data) + start, length);
  return word;
}

// The definition, one word after the other: for small host memory and for tests.
inline std::uint64_t checksum(const void* data, std::size_t bytes) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < checksum_words(bytes); ++i) sum += checksum_mix(checksum_word(data, bytes, i), i);
  return sum;
}

// The same over pieces that follow one another.
class RunningChecksum {
 public:
  void add(const void* data, std::size_t bytes) {
    const auto* next = static_cast<const std::byte*>(data);
    for (; bytes > 0 && rest_bytes_ > 0; --bytes) push(*next++);
    const std::size_t whole = bytes / 4;
    for (std::size_t i = 0; i < whole; ++i) sum_ += checksum_mix(checksum_word(next, bytes, i), words_ + i);
    words_ += whole;
    for (std::size_t i = whole * 4; i < bytes; ++i) push(next[i]);
  }
  std::uint64_t value() const {
    return rest_bytes_ == 0 ? sum_ : sum_ + checksum_mix(checksum_word(rest_, rest_bytes_, 0), words_);
  }

 private:
  void push(std::byte byte) {
    rest_[rest_bytes_++] = byte;
    if (rest_bytes_ < sizeof rest_) return;
    sum_ += checksum_mix(checksum_word(rest_, sizeof rest_, 0), words_++);
    rest_bytes_ = 0;
  }

  std::uint64_t sum_ = 0, words_ = 0;
  std::byte rest_[4] = {};  // of a word that is not complete
  std::size_t rest_bytes_ = 0;
};

}  // namespace convoy
