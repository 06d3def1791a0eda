// Known answers of Philox4x32-10 (Random123's kat_vectors), and what random_bits promises about its arguments.
#include "convoy/philox.hpp"

#include <gtest/gtest.h>

#include <set>
#include <tuple>

namespace convoy {
namespace {

struct KnownAnswer {
  Random4 counter;
  std::uint64_t seed;
  Random4 expected;
};

constexpr KnownAnswer kKnownAnswers[] = {
    {{0, 0, 0, 0}, 0, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
    {{0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu},
     0xffffffffffffffffu,
     {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
    {{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
     0x299f31d0a4093822u,
     {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
};

auto words(const Random4& bits) { return std::make_tuple(bits.x, bits.y, bits.z, bits.w); }

TEST(Philox, gives_the_published_known_answers) {
  for (const KnownAnswer& known : kKnownAnswers) {
    EXPECT_EQ(words(philox4x32(known.counter, known.seed)), words(known.expected));
  }
}

TEST(Philox, every_argument_of_random_bits_changes_the_bits) {
  std::set<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>> seen;
  seen.insert(words(random_bits(1, Purpose::flip, 0, 5)));
  seen.insert(words(random_bits(2, Purpose::flip, 0, 5)));
  seen.insert(words(random_bits(std::uint64_t{1} << 32, Purpose::flip, 0, 5)));
  seen.insert(words(random_bits(1, Purpose::cutout, 0, 5)));
  seen.insert(words(random_bits(1, Purpose::flip, 1, 5)));
  seen.insert(words(random_bits(1, Purpose::flip, 0, 6)));
  seen.insert(words(random_bits(1, Purpose::flip, 0, 5 + (std::uint64_t{1} << 43))));
  seen.insert(words(random_bits(1, Purpose::flip, 0, 5, 1)));
  seen.insert(words(random_bits(1, Purpose::flip, 0, 5, (1u << 20) - 1)));
  EXPECT_EQ(seen.size(), 9u);
}

TEST(Philox, uniform_is_exact_at_its_ends) {
  EXPECT_EQ(uniform(0), 0.0F);
  EXPECT_EQ(uniform(0x80000000u), 0.5F);
  EXPECT_EQ(uniform(0xffffffffu), 1.0F - 0x1p-24F);
}

TEST(Philox, below_covers_its_range_evenly) {
  EXPECT_EQ(below(0, 5), 0u);
  EXPECT_EQ(below(0xffffffffu, 5), 4u);
  int counts[5] = {};
  constexpr int kDraws = 50000;
  for (int i = 0; i < kDraws; ++i) ++counts[below(random_bits(3, Purpose::translate, 0, i).x, 5)];
  for (int count : counts) EXPECT_NEAR(count, kDraws / 5, 450);  // five standard deviations of 89
}

}  // namespace
}  // namespace convoy
