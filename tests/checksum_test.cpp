// The arena checksum: known values, what it detects, and the same from every kernel and number of threads.
// needs: oneDNN
#include "convoy/checksum.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <set>

#include "cpu/arena.hpp"
#include "support/cpu_contexts.hpp"

namespace convoy {
namespace {

using test::cpu_contexts;

std::vector<float> random_values(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = uniform(random_bits(9, Purpose::synthetic, 0, i).x) - 0.5F;
  }
  return values;
}

// SplitMix64 seeded with 0 begins e220a8397b1dcdaf, 6e789e6aa1b965f4: the terms of words that are zero.
TEST(Checksum, of_zero_words_is_the_sum_of_splitmix64s_published_outputs) {
  const std::uint32_t zeros[2] = {};
  EXPECT_EQ(checksum(zeros, 4), 0xe220a8397b1dcdafu);
  EXPECT_EQ(checksum(zeros, 8), 0xe220a8397b1dcdafu + 0x6e789e6aa1b965f4u);
  EXPECT_EQ(checksum(zeros, 0), 0u);
}

TEST(Checksum, a_tail_counts_as_a_word_completed_with_zeros) {
  const std::uint8_t bytes[8] = {1, 2, 3, 4, 5, 0, 0, 0};
  EXPECT_EQ(checksum(bytes, 5), checksum(bytes, 8));
  EXPECT_NE(checksum(bytes, 5), checksum(bytes, 4));
}

TEST(Checksum, changed_swapped_and_missing_words_change_it) {
  std::vector<float> values = random_values(1000);
  const std::size_t bytes = values.size() * 4;
  std::set<std::uint64_t> seen{checksum(values.data(), bytes)};
  for (int bit = 0; bit < 32; ++bit) {
    std::vector<float> changed = values;
    changed[500] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(changed[500]) ^ (1u << bit));
    EXPECT_TRUE(seen.insert(checksum(changed.data(), bytes)).second) << "bit " << bit;
  }
  std::vector<float> swapped = values;
  std::swap(swapped[10], swapped[11]);
  EXPECT_TRUE(seen.insert(checksum(swapped.data(), bytes)).second) << "neighbours swapped";
  std::swap(swapped[10], swapped[900]);
  EXPECT_TRUE(seen.insert(checksum(swapped.data(), bytes)).second) << "three words rotated";
  std::rotate(values.begin(), values.begin() + 1, values.end());
  EXPECT_TRUE(seen.insert(checksum(values.data(), bytes)).second) << "all moved by one";
  EXPECT_TRUE(seen.insert(checksum(values.data(), bytes - 4)).second) << "the last one missing";
}

TEST(Checksum, every_kernel_and_number_of_threads_gives_the_definitions_value) {
  for (std::size_t bytes : {0, 1, 3, 4, 63, 64, 4097, 100003, 400000}) {
    const std::vector<float> values = random_values(bytes / 4 + 1);
    const std::uint64_t expected = checksum(values.data(), bytes);
    for (const auto& [name, context] : cpu_contexts()) {
      EXPECT_EQ(cpu::checksum(values.data(), bytes, context), expected) << name << ", " << bytes << " bytes";
    }
  }
}

}  // namespace
}  // namespace convoy
