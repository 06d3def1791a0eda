// Initial weights: distributions, bounds, independence of everything but seed, parameter and element; whitening.
#include "nn/initialise.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "convoy/error.hpp"
#include "convoy/philox.hpp"

namespace convoy {
namespace {

struct Built {
  ParamLayout layout;
  std::vector<float> weights;

  std::span<const float> values(std::string_view name) const {
    const Parameter& p = layout.parameters.at(static_cast<std::size_t>(layout.find(name)));
    return std::span(weights).subspan(p.offset, p.count);
  }
};

Built build(const Network& network, std::uint64_t seed = 1, int classes = 10, int channels = 3) {
  Built built;
  built.layout = make_layout(network, infer_shapes(network, classes, channels));
  built.weights = initial_weights(built.layout, seed);
  return built;
}

struct Statistics {
  double mean = 0, variance = 0, largest = 0;
};

Statistics statistics(std::span<const float> values) {
  Statistics s;
  for (const float value : values) s.mean += value / static_cast<double>(values.size());
  for (const float value : values) {
    s.variance += (value - s.mean) * (value - s.mean) / static_cast<double>(values.size());
    s.largest = std::max(s.largest, std::abs(static_cast<double>(value)));
  }
  return s;
}

TEST(Initialise, glorot_uniform_has_kerass_limits_and_zero_biases) {
  const Built seed = build(load_network("seed"));
  const double limit = std::sqrt(6.0 / (2048 + 128));
  const Statistics dense = statistics(seed.values("dense1.weight"));  // 262,144 values
  EXPECT_LE(dense.largest, limit);
  EXPECT_GT(dense.largest, 0.999 * limit);
  EXPECT_NEAR(dense.mean, 0, 4 * limit / std::sqrt(3.0 * 262'144));  // four standard errors
  EXPECT_NEAR(dense.variance, limit * limit / 3, 0.01 * limit * limit / 3);
  EXPECT_LE(statistics(seed.values("conv2.weight")).largest, std::sqrt(6.0 / (288 + 576)));
  EXPECT_EQ(statistics(seed.values("conv2.bias")).largest, 0);
}

TEST(Initialise, he_normal_has_variance_two_over_fan_in_and_normal_tails) {
  const Built resnet = build(load_network("resnet18"));
  const std::span<const float> values = resnet.values("layer3.0.conv2.weight");  // 589,824 values, fan_in 2304
  const Statistics s = statistics(values);
  const double deviation = std::sqrt(2.0 / 2304);
  EXPECT_NEAR(s.mean, 0, 4 * deviation / std::sqrt(589'824.0));
  EXPECT_NEAR(s.variance, deviation * deviation, 0.01 * deviation * deviation);
  const auto beyond = std::count_if(values.begin(), values.end(), [&](float v) { return std::abs(v) > 2 * deviation; });
  EXPECT_NEAR(static_cast<double>(beyond) / 589'824, 0.0455, 0.002);
}

TEST(Initialise, torch_default_bounds_weights_and_bias_by_one_over_root_fan_in) {
  const Built resnet = build(load_network("resnet18"));
  const double limit = 1 / std::sqrt(512.0);
  EXPECT_LE(statistics(resnet.values("fc.weight")).largest, limit);
  EXPECT_GT(statistics(resnet.values("fc.weight")).largest, 0.99 * limit);
  EXPECT_LE(statistics(resnet.values("fc.bias")).largest, limit);
  EXPECT_GT(statistics(resnet.values("fc.bias")).largest, 0);
}

TEST(Initialise, normalisations_start_as_the_identity) {
  const Built airbench = build(load_network("airbench94"));
  for (const float one : airbench.values("layers.1.norm1.weight")) EXPECT_EQ(one, 1);
  for (const float zero : airbench.values("layers.1.norm1.bias")) EXPECT_EQ(zero, 0);
  for (const float zero : airbench.values("layers.1.norm1.running_mean")) EXPECT_EQ(zero, 0);
  for (const float one : airbench.values("layers.1.norm1.running_var")) EXPECT_EQ(one, 1);
}

TEST(Initialise, identity_filters_pass_their_channel_on) {
  const Built airbench = build(load_network("airbench94"));
  const std::span<const float> filters = airbench.values("layers.1.conv1.weight");  // [64, 3, 3, 24]
  const std::size_t row = 9 * 24;
  for (std::size_t o = 0; o < 24; ++o)
    for (std::size_t k = 0; k < row; ++k) EXPECT_EQ(filters[o * row + k], k == 4 * 24 + o ? 1.0F : 0.0F);
  EXPECT_GT(statistics(filters.subspan(24 * row)).variance, 0);
  const std::span<const float> square = airbench.values("layers.1.conv2.weight");  // [64, 3, 3, 64]: all identity
  EXPECT_EQ(std::count(square.begin(), square.end(), 1.0F), 64);
  EXPECT_EQ(std::count(square.begin(), square.end(), 0.0F), static_cast<std::ptrdiff_t>(square.size()) - 64);
}

TEST(Initialise, the_airbench_head_has_standard_deviation_one) {
  const Built airbench = build(load_network("airbench94"));
  const Statistics s = statistics(airbench.values("head.weight"));
  EXPECT_NEAR(s.variance * 2560 / 2559, 1, 1e-6);
  EXPECT_LT(s.largest, 1.8);  // still uniform: sqrt(3)
}

TEST(Initialise, element_e_is_word_e_mod_4_of_its_counter) {
  const Built seed = build(load_network("seed"), 42);
  const int parameter = seed.layout.find("conv2.weight");
  const double limit = std::sqrt(6.0 / (288 + 576));
  const Random4 bits = random_bits(42, Purpose::initialise, 0, 25, static_cast<std::uint32_t>(parameter));
  const std::uint32_t words[] = {bits.x, bits.y, bits.z, bits.w};
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(seed.values("conv2.weight")[100 + i], static_cast<float>(limit * (2.0 * (words[i] * 0x1p-32) - 1.0)));
}

TEST(Initialise, the_seed_decides_every_bit_and_another_seed_changes_them) {
  const Network network = load_network("seed");
  EXPECT_EQ(build(network, 5).weights, build(network, 5).weights);
  EXPECT_NE(build(network, 5).weights, build(network, 6).weights);
}

TEST(Initialise, a_parameter_drawn_anew_is_the_same_and_padding_is_zero) {
  const Built seed = build(load_network("seed"), 9);
  const int parameter = seed.layout.find("dense2.weight");
  std::vector<float> again(1280);
  initialise_parameter(seed.layout, parameter, 9, again);
  EXPECT_TRUE(std::ranges::equal(again, seed.values("dense2.weight")));
  const Parameter& bias = seed.layout.parameters.at(static_cast<std::size_t>(seed.layout.find("dense2.bias")));
  for (std::size_t i = bias.offset + bias.count; i < seed.layout.total_elements; ++i) EXPECT_EQ(seed.weights[i], 0);
  std::vector<float> short_of_one(1279);
  EXPECT_THROW(initialise_parameter(seed.layout, parameter, 9, short_of_one), Error);
}

// Smooth pictures with some noise: neighbouring pixels and channels are correlated, as in photographs.
ImageSet pictures(std::size_t count, int channels) {
  ImageSet set;
  set.image = {12, 9, channels};
  set.labels.assign(count, 0);
  for (std::size_t n = 0; n < count; ++n)
    for (int y = 0; y < 12; ++y)
      for (int x = 0; x < 9; ++x)
        for (int c = 0; c < channels; ++c) {
          const std::uint32_t noise =
              random_bits(1, Purpose::synthetic, 0, n * 1000 + static_cast<std::size_t>(y * 27 + x * 3 + c)).x;
          const double wave = 90 * std::sin(0.4 * y + 0.3 * x + 0.2 * c + static_cast<double>(n));
          set.images.push_back(static_cast<std::uint8_t>(110 + wave + below(noise, 40)));
        }
  return set;
}

// Second moment [filters, filters] of the filters' responses to all patches, by the definition.
std::vector<double> response_moment(const ImageSet& set, std::span<const float> filters, std::span<const float> scale,
                                    std::span<const float> offset, std::size_t n) {
  std::vector<double> moment(n * n);
  double patches = 0;
  for (std::size_t image = 0; image < set.count(); ++image)
    for (int y = 0; y + 2 <= set.image.height; ++y)
      for (int x = 0; x + 2 <= set.image.width; ++x, ++patches) {
        std::vector<double> response(n);
        for (std::size_t f = 0; f < n; ++f)
          for (int dy = 0; dy < 2; ++dy)
            for (int dx = 0; dx < 2; ++dx)
              for (std::size_t c = 0; c < scale.size(); ++c) {
                const std::size_t channel = std::min<std::size_t>(c, static_cast<std::size_t>(set.image.channels) - 1);
                const std::uint8_t pixel = set.at(image)[static_cast<std::size_t>((y + dy) * set.image.width + x + dx) *
                                                             static_cast<std::size_t>(set.image.channels) +
                                                         channel];
                response[f] += filters[f * n + static_cast<std::size_t>(dy * 2 + dx) * scale.size() + c] *
                               (static_cast<double>(pixel) * scale[c] + offset[c]);
              }
        for (std::size_t a = 0; a < n; ++a)
          for (std::size_t b = 0; b < n; ++b) moment[a * n + b] += response[a] * response[b];
      }
  for (double& value : moment) value /= patches;
  return moment;
}

TEST(Whitening, responses_are_uncorrelated_with_descending_eigenvalues_and_unit_power) {
  const ImageSet set = pictures(40, 3);
  const std::vector<float> scale = {0.016F, 0.017F, 0.015F}, offset = {-1.9F, -1.8F, -1.7F};
  const std::vector<float> filters = whitening_filters(set, scale, offset, {2, 2});
  ASSERT_EQ(filters.size(), 24U * 12U);
  const std::vector<double> moment = response_moment(set, filters, scale, offset, 12);
  double previous = 1e9;
  for (std::size_t a = 0; a < 12; ++a) {
    double length = 0;
    for (std::size_t k = 0; k < 12; ++k) length += static_cast<double>(filters[a * 12 + k]) * filters[a * 12 + k];
    const double eigenvalue = 1 / length - 5e-4;  // a filter has length 1 / sqrt(eigenvalue + 5e-4)
    EXPECT_LE(eigenvalue, previous);
    previous = eigenvalue;
    for (std::size_t b = 0; b < 12; ++b)
      EXPECT_NEAR(moment[a * 12 + b], a == b ? eigenvalue / (eigenvalue + 5e-4) : 0, 1e-4) << a << ", " << b;
  }
}

TEST(Whitening, the_second_half_is_the_negative_of_the_first_and_signs_are_fixed) {
  const std::vector<float> scale = {0.016F, 0.017F, 0.015F}, offset = {-1.9F, -1.8F, -1.7F};
  const std::vector<float> filters = whitening_filters(pictures(40, 3), scale, offset, {2, 2});
  for (std::size_t i = 0; i < 144; ++i) EXPECT_EQ(filters[144 + i], -filters[i]);
  for (std::size_t row = 0; row < 12; ++row) {
    const auto magnitude = [](float a, float b) { return std::abs(a) < std::abs(b); };
    const std::span<const float> filter = std::span(filters).subspan(row * 12, 12);
    EXPECT_GT(*std::max_element(filter.begin(), filter.end(), magnitude), 0);
  }
}

TEST(Whitening, only_the_first_images_count) {
  const std::vector<float> scale = {0.016F, 0.017F, 0.015F}, offset = {-1.9F, -1.8F, -1.7F};
  EXPECT_EQ(whitening_filters(pictures(60, 3), scale, offset, {2, 2}, 40),
            whitening_filters(pictures(40, 3), scale, offset, {2, 2}));
}

TEST(Whitening, grey_images_are_repeated_and_give_finite_filters) {
  const ImageSet grey = pictures(40, 1);
  const std::vector<float> scale(3, 0.016F), offset(3, -1.9F);
  const std::vector<float> filters = whitening_filters(grey, scale, offset, {2, 2});
  const std::vector<double> moment = response_moment(grey, filters, scale, offset, 12);
  for (const float value : filters) EXPECT_TRUE(std::isfinite(value));
  for (std::size_t a = 4; a < 12; ++a) EXPECT_NEAR(moment[a * 12 + a], 0, 1e-6);  // rank 4: four pixels
  EXPECT_NEAR(moment[0], 1, 1e-2);
}

TEST(Whitening, whiten_fills_the_filters_and_nothing_else) {
  const Built before = build(load_network("airbench94"));
  ASSERT_TRUE(needs_whitening(before.layout));
  EXPECT_FALSE(needs_whitening(build(load_network("seed")).layout));
  const std::vector<float> scale = {0.016F, 0.017F, 0.015F}, offset = {-1.9F, -1.8F, -1.7F};
  Built after = before;
  const ImageSet set = pictures(40, 3);
  whiten(after.layout, set, scale, offset, after.weights);
  EXPECT_EQ(statistics(before.values("whiten.weight")).largest, 0);
  EXPECT_TRUE(std::ranges::equal(after.values("whiten.weight"), whitening_filters(set, scale, offset, {2, 2})));
  for (const Parameter& p : before.layout.parameters) {
    if (p.name == "whiten.weight") continue;
    EXPECT_TRUE(std::ranges::equal(before.values(p.name), after.values(p.name))) << p.name;
  }
}

}  // namespace
}  // namespace convoy
