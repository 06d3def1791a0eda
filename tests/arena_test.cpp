// Arithmetic over whole arenas: norms, clipping, the finite check, sums of gradients and logits, on every instruction
// set and number of threads.
#include "cpu/arena.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "convoy/philox.hpp"
#include "support/cpu_contexts.hpp"

namespace convoy {
namespace {

using test::cpu_context;
using test::cpu_contexts;

std::vector<float> random_values(std::size_t count, float spread = 1) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = spread * (2 * uniform(random_bits(9, Purpose::synthetic, 0, i).x) - 1);
  }
  return values;
}

TEST(Arenas, the_sum_of_squares_is_equal_to_the_bit_everywhere_and_right) {
  const std::vector<float> values = random_values(100003, 3);
  long double expected = 0;
  for (float value : values) expected += static_cast<long double>(value) * value;
  const double first =
      cpu::sum_of_squares(values.data(), values.size(), cpu_context(cpu::runnable_kernels().front(), 1));
  EXPECT_NEAR(first, static_cast<double>(expected), static_cast<double>(expected) * 1e-13);
  for (const auto& [name, context] : cpu_contexts()) {
    EXPECT_EQ(cpu::sum_of_squares(values.data(), values.size(), context), first) << name;
  }
}

TEST(Arenas, clipping_scales_only_gradients_longer_than_the_limit) {
  const std::vector<float> gradients = {3, 0, 4};
  const cpu::Context context = cpu_context(cpu::select_kernels(), 2);
  float factor = 0, norm = 0;
  cpu::clip_factor(gradients.data(), 3, 2.0F, &factor, &norm, context);
  EXPECT_EQ(norm, 5.0F);
  EXPECT_EQ(factor, 0.4F);
  cpu::clip_factor(gradients.data(), 3, 5.0F, &factor, &norm, context);
  EXPECT_EQ(factor, 1.0F);
}

TEST(Arenas, a_norm_beyond_fp32s_squares_does_not_overflow) {
  const std::vector<float> gradients = {3e30F, 4e30F};
  float factor = 0, norm = 0;
  cpu::clip_factor(gradients.data(), 2, 1.0F, &factor, &norm, cpu_context(cpu::select_kernels(), 1));
  EXPECT_FLOAT_EQ(norm, 5e30F);
  EXPECT_FLOAT_EQ(factor, 2e-31F);
}

TEST(Arenas, the_first_value_that_is_not_finite_is_found_wherever_it_lies) {
  std::vector<float> values = random_values(50001);
  values[7] = std::numeric_limits<float>::max();
  values[8] = std::numeric_limits<float>::denorm_min();
  for (const auto& [name, context] : cpu_contexts()) {
    EXPECT_EQ(cpu::first_not_finite(values.data(), values.size(), context), -1) << name;
    EXPECT_EQ(cpu::first_not_finite(values.data(), 0, context), -1) << name;
    for (std::size_t where : {0, 1, 31, 782, 30000, 50000}) {
      for (float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        std::vector<float> spoilt = values;
        spoilt[where] = bad;
        spoilt.back() = bad;
        EXPECT_EQ(cpu::first_not_finite(spoilt.data(), spoilt.size(), context), static_cast<std::int64_t>(where))
            << name;
      }
    }
  }
}

TEST(Arenas, gradients_add_in_fp32_and_in_bf16_with_one_rounding) {
  const Extent extent{5, 7, 24};
  const std::vector<float> a = random_values(3 * 5 * 7 * 24, 2), b = random_values(3 * 5 * 7 * 24, 5);
  const auto top = [](float value) { return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16); };
  const auto widen = [](std::uint16_t v) { return std::bit_cast<float>(static_cast<std::uint32_t>(v) << 16); };
  for (const cpu::Kernels& kernels : cpu::runnable_kernels()) {
    std::vector<float> sum = a;
    cpu::add_gradient(3, extent, sum.data(), b.data(), cpu_context(kernels, 2));
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_EQ(sum[i], a[i] + b[i]) << kernels.isa;

    std::vector<std::uint16_t> narrow_a, narrow_b;
    for (std::size_t i = 0; i < a.size(); ++i) {
      narrow_a.push_back(top(a[i]));
      narrow_b.push_back(top(b[i]));
    }
    narrow_a[1] = top(std::numeric_limits<float>::quiet_NaN());
    std::vector<std::uint16_t> narrow_sum = narrow_a;
    cpu::add_gradient(3, extent, narrow_sum.data(), narrow_b.data(), cpu_context(kernels, 2, DType::bf16));
    EXPECT_TRUE(std::isnan(widen(narrow_sum[1]))) << kernels.isa;
    for (std::size_t i = 2; i < a.size(); ++i) {
      const float exact = widen(narrow_a[i]) + widen(narrow_b[i]);
      ASSERT_LE(std::abs(widen(narrow_sum[i]) - exact), std::abs(exact) * 0x1p-8F) << kernels.isa << " " << i;
    }
  }
}

TEST(Arenas, logits_of_views_accumulate_with_their_weights) {
  const std::vector<float> one = random_values(40000), two = random_values(40000, 3);
  for (const auto& [name, context] : cpu_contexts()) {
    std::vector<float> sum(one.size(), std::numeric_limits<float>::quiet_NaN());
    cpu::accumulate_logits(one.data(), 0.5F, true, one.size(), sum.data(), context);
    cpu::accumulate_logits(two.data(), 0.25F, false, two.size(), sum.data(), context);
    for (std::size_t i = 0; i < one.size(); ++i) ASSERT_EQ(sum[i], 0.5F * one[i] + 0.25F * two[i]) << name;
  }
}

}  // namespace
}  // namespace convoy
