// The 64-bit checksum of a data set. Hashes of samples are independent, so threads share them out.
#include "data/checksum.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "data/parallel.hpp"

namespace convoy {
namespace {

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 32);
}

std::uint64_t word_at(const std::uint8_t* bytes, std::size_t count) {
  std::uint64_t word = 0;
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(&word, bytes, count);
  } else {
    for (std::size_t i = 0; i < count; ++i) word |= std::uint64_t{bytes[i]} << (8 * i);
  }
  return word;
}

std::uint64_t hash_of_sample(const ImageSet& set, std::size_t index) {
  const auto bytes = static_cast<std::size_t>(set.image.elements());
  const std::uint8_t* pixels = set.at(index);
  auto hash = static_cast<std::uint64_t>(set.labels[index]);
  std::size_t i = 0;
  for (; i + 8 <= bytes; i += 8) hash = mix(hash, word_at(pixels + i, 8));
  return i < bytes ? mix(hash, word_at(pixels + i, bytes - i)) : hash;
}

std::uint64_t add_set(std::uint64_t hash, const ImageSet& set) {
  constexpr std::size_t kBlock = 1024;
  std::vector<std::uint64_t> hashes(set.count());
  parallel_for((set.count() + kBlock - 1) / kBlock, [&](std::size_t block) {
    const std::size_t end = std::min(set.count(), (block + 1) * kBlock);
    for (std::size_t i = block * kBlock; i < end; ++i) hashes[i] = hash_of_sample(set, i);
  });
  for (const int number : {static_cast<int>(set.count()), set.image.height, set.image.width, set.image.channels}) {
    hash = mix(hash, static_cast<std::uint64_t>(number));
  }
  for (const std::uint64_t sample : hashes) hash = mix(hash, sample);
  return hash;
}

}  // namespace

std::uint64_t checksum(const Dataset& data) { return add_set(add_set(0, data.train), data.test); }

}  // namespace convoy
