// Arithmetic over whole arenas: norms, means, clipping, the finite check, checksums, sums of gradients and logits, on
// every backend, and on the CPU with every instruction set and number of threads.
// needs: oneDNN
#include "cpu/arena.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "convoy/checksum.hpp"
#include "convoy/philox.hpp"
#include "support/cpu_contexts.hpp"
#include "support/guarded_buffer.hpp"
#include "support/operation_fixture.hpp"
#include "support/rounding.hpp"

namespace convoy {
namespace {

using test::BackendCase;
using test::cpu_context;
using test::cpu_contexts;
using test::from_device;
using test::GuardedBuffer;
using test::on_device;
using test::rounded;

const BackendCase kBackends[] = {
    {"cpu", Precision::fp32, 1e-13, "fp64 sums of parts of up to 600,000 squares"},
    {"cpu", Precision::bf16, 1e-13, "arenas are fp32 whatever the compute type"},
    {"cuda", Precision::fp32, 1e-13, "fp64 sums of parts of up to 600,000 squares"},
    {"cuda", Precision::bf16, 1e-13, "arenas are fp32 whatever the compute type"},
    {"cuda", Precision::fp16, 1e-13, "arenas are fp32 whatever the compute type"},
};

// Below, at and above whole packs of 4 and 8, one block's and all blocks' share.
constexpr std::size_t kCounts[] = {1, 3, 4, 7, 8, 257, 1023, 100003, 2200001};

std::vector<float> random_values(std::size_t count, float spread = 1) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = spread * (2 * uniform(random_bits(9, Purpose::synthetic, 0, i).x) - 1);
  }
  return values;
}

class Arenas : public test::OnBackend {
 protected:
  struct Clipped {
    float factor, norm;
  };
  Clipped clip(const std::vector<float>& gradients, float limit) {
    const GuardedBuffer device = on_device(*backend, gradients, "gradients");
    const GuardedBuffer result(*backend, sizeof(Clipped), "factor and norm");
    backend->clip_factor(device.as<float>(), gradients.size(), limit, result.as<float>(), result.as<float>() + 1,
                         nullptr);
    result.expect_guards_intact();
    return from_device<Clipped>(*backend, result)[0];
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, Arenas, testing::ValuesIn(kBackends), test::case_name);

TEST_P(Arenas, the_sum_of_squares_is_right_and_equal_to_the_bit_each_time_and_anywhere) {
  for (const std::size_t count :
       {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{100003}, std::size_t{600001}}) {
    const std::vector<float> values = random_values(count, 3);
    long double expected = 0;
    for (float value : values) expected += static_cast<long double>(value) * value;
    // Once more where nothing lies at a multiple of 16 bytes.
    const GuardedBuffer device = on_device(*backend, values, "values");
    std::vector<float> shifted = values;
    shifted.insert(shifted.begin(), 1e30F);
    const GuardedBuffer elsewhere = on_device(*backend, shifted, "values");
    const double first = backend->sum_of_squares(device.as<float>(), count);
    EXPECT_NEAR(first, static_cast<double>(expected), static_cast<double>(expected) * GetParam().tolerance);
    for (int again = 0; again < 3; ++again) {
      EXPECT_EQ(backend->sum_of_squares(device.as<float>(), count), first) << count;
      EXPECT_EQ(backend->sum_of_squares(elsewhere.as<float>() + 1, count), first) << count;
    }
  }
}

TEST_P(Arenas, clipping_scales_only_gradients_longer_than_the_limit) {
  const std::vector<float> gradients = {3, 0, 4};
  EXPECT_EQ(clip(gradients, 2.0F).norm, 5.0F);
  EXPECT_EQ(clip(gradients, 2.0F).factor, 0.4F);
  EXPECT_EQ(clip(gradients, 5.0F).factor, 1.0F);
  EXPECT_EQ(clip({0, 0}, 1.0F).factor, 1.0F);
}

TEST_P(Arenas, a_norm_beyond_fp32s_squares_does_not_overflow) {
  const Clipped clipped = clip({3e30F, 4e30F}, 1.0F);
  EXPECT_FLOAT_EQ(clipped.norm, 5e30F);
  EXPECT_FLOAT_EQ(clipped.factor, 2e-31F);
}

TEST_P(Arenas, gradients_that_are_not_numbers_are_left_for_the_finite_check) {
  const Clipped clipped = clip({1, std::numeric_limits<float>::quiet_NaN(), 2}, 1.0F);
  EXPECT_TRUE(std::isnan(clipped.norm));
  EXPECT_EQ(clipped.factor, 1.0F);
}

TEST_P(Arenas, the_first_value_that_is_not_finite_is_found_wherever_it_lies) {
  std::vector<float> values = random_values(50001);
  values[7] = std::numeric_limits<float>::max();
  values[8] = std::numeric_limits<float>::denorm_min();
  const GuardedBuffer device = on_device(*backend, values, "values");
  const auto first = [&](std::size_t count) { return backend->first_not_finite(device.as<float>(), count); };
  EXPECT_EQ(first(values.size()), -1);
  EXPECT_EQ(first(0), -1);
  const auto put = [&](std::size_t where, float value) {
    backend->upload(device.as<float>() + where, &value, sizeof value);
    backend->wait();
  };
  for (std::size_t where : {0, 1, 31, 782, 30000, 50000}) {
    for (float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      put(values.size() - 1, bad);
      put(where, bad);
      EXPECT_EQ(first(values.size()), static_cast<std::int64_t>(where));
      put(values.size() - 1, values.back());
      put(where, values[where]);
    }
  }
}

TEST_P(Arenas, checksums_are_the_definitions) {
  for (std::size_t bytes : {0, 1, 3, 4, 15, 16, 63, 64, 4097, 100003, 2400002}) {
    const std::vector<float> values = random_values(bytes / 4 + 1);
    const GuardedBuffer device = on_device(*backend, values, "values");
    EXPECT_EQ(backend->checksum(device.data(), bytes), checksum(values.data(), bytes)) << bytes << " bytes";
    if (bytes >= 4) {
      EXPECT_EQ(backend->checksum(device.as<float>() + 1, bytes - 4), checksum(values.data() + 1, bytes - 4)) << bytes;
    }
  }
}

TEST_P(Arenas, gradients_add_in_fp32_with_one_rounding_to_the_compute_type) {
  const DType type = backend->compute_type();
  for (const auto& [batch, extent] :
       {std::pair{3, Extent{5, 7, 24}}, {1, Extent{1, 1, 3}}, {1, Extent{1, 1, 257}}, {2, Extent{3, 3, 7}}}) {
    const auto count = static_cast<std::size_t>(batch * extent.elements());
    std::vector<float> a = random_values(count, 2), b = random_values(count + 1, 5);
    b.erase(b.begin());  // other values than those of a
    const std::size_t bytes = backend->activation_bytes(batch, extent);
    const GuardedBuffer device_a(*backend, bytes, "a"), device_b(*backend, bytes, "b");
    for (float& value : a) value = rounded(value, type);
    for (float& value : b) value = rounded(value, type);
    a[1] = std::numeric_limits<float>::quiet_NaN();
    backend->pack_activation(batch, extent, a.data(), device_a.data());
    backend->pack_activation(batch, extent, b.data(), device_b.data());
    backend->add_gradient(batch, extent, device_a.data(), device_b.data());
    std::vector<float> sum(count);
    backend->unpack_activation(batch, extent, device_a.data(), sum.data());
    EXPECT_TRUE(std::isnan(sum[1]));
    for (std::size_t i = 2; i < count; ++i) ASSERT_EQ(sum[i], rounded(a[i] + b[i], type)) << i;
    device_a.expect_guards_intact();
  }
}

TEST_P(Arenas, arenas_are_scaled_and_added_with_the_roundings_of_fp32) {
  for (const std::size_t count : kCounts) {
    const std::vector<float> a = random_values(count), b = random_values(count + 1, 3);
    const GuardedBuffer device_a = on_device(*backend, a, "a"), device_b = on_device(*backend, b, "b");
    for (const std::size_t shift : {0, 1}) {
      backend->upload(device_a.data(), a.data(), device_a.bytes());
      backend->add_scaled(device_a.as<float>(), 0.3F, device_b.as<float>() + shift, count);
      std::vector<float> sum = from_device<float>(*backend, device_a);
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(sum[i], a[i] + 0.3F * b[i + shift]) << i << " of " << count;
      backend->scale(device_a.as<float>(), 0.7F, count);
      const std::vector<float> scaled = from_device<float>(*backend, device_a);
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(scaled[i], 0.7F * sum[i]) << i << " of " << count;
    }
    device_a.expect_guards_intact();
  }
}

TEST_P(Arenas, one_pass_makes_the_means_of_sums_that_three_would_to_the_bit) {
  constexpr float kFactor = 1.0F / 3;
  for (const std::size_t count : kCounts) {
    const std::size_t narrow_bytes = backend->narrow_bytes(count);
    for (const std::size_t squared : {std::size_t{0}, count / 2, count}) {
      for (const std::size_t shift : {0, 1}) {  // from 16-byte boundaries and from others
        const std::vector<float> sums = random_values(count + shift, 3);
        const GuardedBuffer expected = on_device(*backend, sums, "sums"), found = on_device(*backend, sums, "sums");
        const GuardedBuffer expected_narrow(*backend, narrow_bytes, "narrow means"),
            found_narrow(*backend, narrow_bytes, "narrow means"), square(*backend, sizeof(double), "square");
        void* narrow = narrow_bytes > 0 ? found_narrow.data() : nullptr;

        backend->scale(expected.as<float>() + shift, kFactor, count);
        const std::vector<float> means = from_device<float>(*backend, expected);
        const GuardedBuffer aligned =
            on_device(*backend, std::vector<float>(means.begin() + static_cast<std::ptrdiff_t>(shift), means.end()),
                      "means");  // as narrow wants them
        if (narrow != nullptr) backend->narrow(aligned.as<float>(), count, expected_narrow.data());

        backend->mean_of_sums({.values = found.as<float>() + shift,
                               .count = count,
                               .factor = kFactor,
                               .narrow_values = narrow,
                               .squared = squared,
                               .square = square.as<double>()});
        SCOPED_TRACE(testing::Message() << count << " sums, " << squared << " squares, shifted by " << shift);
        ASSERT_EQ(from_device<float>(*backend, found), means);
        ASSERT_EQ(from_device<std::uint16_t>(*backend, found_narrow),
                  from_device<std::uint16_t>(*backend, expected_narrow));
        ASSERT_EQ(from_device<double>(*backend, square)[0],
                  backend->sum_of_squares(expected.as<float>() + shift, squared));
        for (const GuardedBuffer* buffer : {&found, &found_narrow, &square}) buffer->expect_guards_intact();
      }
    }
  }
}

TEST_P(Arenas, means_of_sums_without_copies_and_squares_are_the_same) {
  for (const std::size_t count : kCounts) {
    const std::vector<float> sums = random_values(count, 3);
    const GuardedBuffer found = on_device(*backend, sums, "sums");
    backend->mean_of_sums({.values = found.as<float>(), .count = count, .factor = 0.125F});
    const std::vector<float> means = from_device<float>(*backend, found);
    for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(means[i], 0.125F * sums[i]) << i << " of " << count;
    found.expect_guards_intact();
  }
}

TEST_P(Arenas, logits_of_views_accumulate_with_their_weights) {
  const std::vector<float> one = random_values(40003), two = random_values(40003, 3);
  const GuardedBuffer device_one = on_device(*backend, one, "one"), device_two = on_device(*backend, two, "two");
  const GuardedBuffer sums(*backend, device_one.bytes(), "sums");  // not numbers before the first view
  backend->accumulate_logits(device_one.as<float>(), 0.5F, true, one.size(), sums.as<float>());
  backend->accumulate_logits(device_two.as<float>(), 0.25F, false, two.size(), sums.as<float>());
  const std::vector<float> sum = from_device<float>(*backend, sums);
  for (std::size_t i = 0; i < one.size(); ++i) ASSERT_EQ(sum[i], 0.5F * one[i] + 0.25F * two[i]);
  sums.expect_guards_intact();
}

TEST(ArenasOfTheCpu, the_sum_of_squares_is_equal_to_the_bit_on_every_isa_and_thread_count) {
  const std::vector<float> values = random_values(100003, 3);
  const double first =
      cpu::sum_of_squares(values.data(), values.size(), cpu_context(cpu::runnable_kernels().front(), 1));
  for (const auto& [name, context] : cpu_contexts()) {
    EXPECT_EQ(cpu::sum_of_squares(values.data(), values.size(), context), first) << name;
  }
}

TEST(ArenasOfTheCpu, every_isa_and_thread_count_makes_means_and_their_square_alike) {
  const std::vector<float> sums = random_values(100003, 3);
  std::vector<float> expected = sums;
  for (float& value : expected) value *= 0.3F;
  const double square = cpu::sum_of_squares(expected.data(), 90001, cpu_context(cpu::runnable_kernels().front(), 1));
  for (const auto& [name, context] : cpu_contexts()) {
    std::vector<float> means = sums;
    double found = 0;
    cpu::mean_of_sums(
        {.values = means.data(), .count = means.size(), .factor = 0.3F, .squared = 90001, .square = &found}, context);
    EXPECT_EQ(means, expected) << name;
    EXPECT_EQ(found, square) << name;
  }
}

TEST(ArenasOfTheCpu, every_isa_and_thread_count_finds_the_first_value_that_is_not_finite) {
  std::vector<float> values = random_values(50001);
  for (const auto& [name, context] : cpu_contexts()) {
    EXPECT_EQ(cpu::first_not_finite(values.data(), values.size(), context), -1) << name;
    for (std::size_t where : {0, 1, 31, 782, 30000, 50000}) {
      std::vector<float> spoilt = values;
      spoilt[where] = spoilt.back() = std::numeric_limits<float>::quiet_NaN();
      EXPECT_EQ(cpu::first_not_finite(spoilt.data(), spoilt.size(), context), static_cast<std::int64_t>(where)) << name;
    }
  }
}

TEST(ArenasOfTheCpu, every_isa_and_thread_count_adds_gradients_with_one_rounding) {
  const Extent extent{5, 7, 24};
  const std::vector<float> a = random_values(3 * 5 * 7 * 24, 2), b = random_values(3 * 5 * 7 * 24, 5);
  const auto top = [](float value) { return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16); };
  const auto widen = [](std::uint16_t v) { return std::bit_cast<float>(static_cast<std::uint32_t>(v) << 16); };
  for (const auto& [name, context] : cpu_contexts()) {
    std::vector<float> sum = a;
    cpu::add_gradient(3, extent, sum.data(), b.data(), context);
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_EQ(sum[i], a[i] + b[i]) << name;
  }
  for (const auto& [name, context] : cpu_contexts(DType::bf16)) {
    std::vector<std::uint16_t> sum, narrow_b;
    for (std::size_t i = 0; i < a.size(); ++i) {
      sum.push_back(top(a[i]));
      narrow_b.push_back(top(b[i]));
    }
    cpu::add_gradient(3, extent, sum.data(), narrow_b.data(), context);
    for (std::size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(widen(sum[i]), rounded(widen(top(a[i])) + widen(top(b[i])), DType::bf16)) << name << " " << i;
    }
  }
}

TEST(ArenasOfTheCpu, every_isa_and_thread_count_accumulates_logits_alike) {
  const std::vector<float> one = random_values(40000), two = random_values(40000, 3);
  for (const auto& [name, context] : cpu_contexts()) {
    std::vector<float> sum(one.size(), std::numeric_limits<float>::quiet_NaN());
    cpu::accumulate_logits(one.data(), 0.5F, true, one.size(), sum.data(), context);
    cpu::accumulate_logits(two.data(), 0.25F, false, two.size(), sum.data(), context);
    for (std::size_t i = 0; i < one.size(); ++i) ASSERT_EQ(sum[i], 0.5F * one[i] + 0.25F * two[i]) << name;
  }
}

TEST(ArenasOfEveryBackend, that_are_not_to_be_had_name_the_option_that_makes_them_smaller) {
  EXPECT_EQ(batch_option_of("activations of the evaluation"), "--evaluation-batch");
  EXPECT_EQ(batch_option_of("activations"), "--batch");
}

}  // namespace
}  // namespace convoy
