// Which sample stands where in an epoch, and which part of a batch is a rank's.
#include "data/sampler.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "convoy/error.hpp"

namespace convoy {
namespace {

struct Keyed {
  std::uint64_t key;
  std::int32_t sample;
};

// Distributes by the key's upper bits into buckets of a few samples, which are then sorted one by one: keys are
// uniform, so this is one pass and many tiny sorts, four times as fast as one large sort at 50,000.
constexpr int kBucketBits = 12;

std::size_t bucket_of(std::uint64_t key) { return static_cast<std::size_t>(key >> (64 - kBucketBits)); }

}  // namespace

std::vector<std::int32_t> keyed_permutation(const PermutationKey& key, std::size_t count) {
  CONVOY_CHECK(count <= std::size_t{std::numeric_limits<std::int32_t>::max()}, "{} samples are too many", count);
  std::vector<std::uint64_t> keys(count);
  std::array<std::size_t, (std::size_t{1} << kBucketBits) + 1> begin{};
  for (std::size_t i = 0; i < count; ++i) {
    const Random4 bits = random_bits(key.seed, key.purpose, key.epoch, i, key.salt);
    keys[i] = (std::uint64_t{bits.x} << 32) | bits.y;
    ++begin[bucket_of(keys[i]) + 1];
  }
  for (std::size_t b = 1; b < begin.size(); ++b) begin[b] += begin[b - 1];
  std::vector<Keyed> sorted(count);
  auto next = begin;
  for (std::size_t i = 0; i < count; ++i) sorted[next[bucket_of(keys[i])]++] = {keys[i], static_cast<std::int32_t>(i)};
  for (std::size_t b = 0; b + 1 < begin.size(); ++b) {
    std::sort(sorted.begin() + static_cast<std::ptrdiff_t>(begin[b]),
              sorted.begin() + static_cast<std::ptrdiff_t>(begin[b + 1]), [](const Keyed& left, const Keyed& right) {
                return left.key != right.key ? left.key < right.key : left.sample < right.sample;
              });
  }
  std::vector<std::int32_t> order(count);
  std::transform(sorted.begin(), sorted.end(), order.begin(), [](const Keyed& keyed) { return keyed.sample; });
  return order;
}

std::vector<std::int32_t> epoch_order(std::uint64_t seed, int epoch, std::size_t count) {
  CONVOY_CHECK(epoch >= 0, "an epoch from 0 expected, found {}", epoch);
  return keyed_permutation({.seed = seed, .epoch = static_cast<std::uint32_t>(epoch)}, count);
}

Share share_of(std::int64_t first, std::int64_t count, int rank, int world_size) {
  CONVOY_CHECK(world_size > 0 && rank >= 0 && rank < world_size, "a rank from 0 to {} expected, found {}",
               world_size - 1, rank);
  CONVOY_CHECK(count >= 0, "a batch of 0 or more samples expected, found {}", count);
  const std::int64_t base = count / world_size, larger = count % world_size;
  return {first + rank * base + std::min<std::int64_t>(rank, larger), base + (rank < larger ? 1 : 0)};
}

}  // namespace convoy
