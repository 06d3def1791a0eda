// Dropout on every backend against its definition by Philox draws: the same mask to the bit, whatever the batch or
// the rank.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "support/operation_fixture.hpp"

namespace convoy::test {
namespace {

const BackendCase kCases[] = {
    {"cpu", Precision::fp32, 2e-7, "one product with 1/(1-rate) in fp32"},
    {"cpu", Precision::bf16, 4e-3, "one product, rounded to 8 bits of mantissa, half of 2^-8"},
    {"cuda", Precision::fp32, 2e-7, "one product with 1/(1-rate) in fp32"},
    {"cuda", Precision::bf16, 4e-3, "one product, rounded to 8 bits of mantissa, half of 2^-8"},
    {"cuda", Precision::fp16, 5e-4, "one product, rounded to 11 bits of mantissa, half of 2^-10"},
};

const Extent kExtents[] = {{1, 1, 128}, {1, 1, 7}, {4, 4, 16}, {3, 5, 3}, {2, 3, 20}, {1, 1, 257}, {1, 1, 1}};

DropoutSpec spec_of(const Extent& extent, float rate = 0.5F, std::uint32_t salt = 0) {
  DropoutSpec spec;
  spec.input = extent;
  spec.rate = rate;
  spec.salt = salt;
  return spec;
}

std::string text(const Extent& e) { return fmt::format("{} x {} x {}", e.height, e.width, e.channels); }

class Dropout : public OnBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Dropout, testing::ValuesIn(kCases), case_name);

TEST_P(Dropout, drops_what_the_definition_drops_and_scales_the_rest) {
  for (const Extent& extent : kExtents) {
    for (const float rate : {0.5F, 0.1F, 0.9F}) {
      SCOPED_TRACE(fmt::format("{}, rate {}", text(extent), rate));
      expect_matches(spec_of(extent, rate, 5), 6);
    }
  }
}

TEST_P(Dropout, the_mask_follows_seed_epoch_layer_and_sample) {
  const DropoutSpec spec = spec_of({2, 2, 16}, 0.5F, (1 << 20) - 1);  // the largest salt
  Tensors given = tensors(spec, 3);
  given.row.seed = 0xFEDCBA9876543210u;
  given.row.epoch = 1999;
  given.row.first = 0;
  given.order = {0, 49999, 999'999};  // far beyond 32 bits of index
  expect_matches(spec, 3, Mode::train, given);
}

TEST_P(Dropout, a_sample_keeps_its_mask_wherever_it_lies_in_the_batch) {
  const DropoutSpec spec = spec_of({2, 3, 8});
  Tensors given = tensors(spec, 2);
  std::fill(given.input.begin(), given.input.end(), 1.0F);
  given.row.first = 0;
  given.order = {17, 4};
  const Results there = run_operation(*backend, spec, 2, Mode::train, given);
  given.order = {9, 9, 4, 17};
  given.row.first = 2;
  const Results back = run_operation(*backend, spec, 2, Mode::train, given);
  const auto half = static_cast<std::ptrdiff_t>(there.output.size() / 2);
  const auto first = [&](const Results& r) { return std::vector<float>(r.output.begin(), r.output.begin() + half); };
  const auto second = [&](const Results& r) { return std::vector<float>(r.output.begin() + half, r.output.end()); };
  EXPECT_EQ(first(there), second(back));
  EXPECT_EQ(second(there), first(back));
  EXPECT_NE(first(there), second(there));
}

TEST_P(Dropout, padding_rows_change_no_valid_row_and_stay_finite) {
  const DropoutSpec spec = spec_of({3, 3, 8});
  Tensors given = tensors(spec, 5);
  given.row.count = 3;
  given.order.resize(given.row.first + given.row.count);  // the order ends with the last valid row
  const Results results = run_operation(*backend, spec, 5, Mode::train, given);
  const auto valid = static_cast<std::ptrdiff_t>(3 * spec.input.elements());
  const reference::Values expected = reference::forward(spec, 5, Mode::train, arguments_of(given)).output;
  expect_close("output", {results.output.begin(), results.output.begin() + valid},
               {expected.begin(), expected.begin() + valid}, GetParam().tolerance);
  for (const float value : results.output) EXPECT_TRUE(std::isfinite(value));
  for (const float value : results.input_gradient) EXPECT_TRUE(std::isfinite(value));
}

TEST_P(Dropout, evaluation_changes_nothing) {
  for (const Extent& extent : kExtents) {
    SCOPED_TRACE(text(extent));
    const DropoutSpec spec = spec_of(extent);
    const Tensors given = tensors(spec, 3);
    EXPECT_EQ(run_operation(*backend, spec, 3, Mode::evaluate, given).output, given.input);
  }
}

TEST_P(Dropout, a_rate_of_zero_changes_nothing) {
  const DropoutSpec spec = spec_of({2, 2, 24}, 0.0F);
  const Tensors given = tensors(spec, 3);
  const Results results = run_operation(*backend, spec, 3, Mode::train, given);
  EXPECT_EQ(results.output, given.input);
  EXPECT_EQ(results.input_gradient, given.output_gradient);
}

TEST_P(Dropout, writes_no_gradient_that_the_spec_does_not_ask_for) {
  DropoutSpec spec = spec_of({2, 2, 24});
  spec.input_gradient = false;
  expect_matches(spec, 2);
  run_operation(*backend, spec, 2, Mode::train, tensors(spec, 2), {.offer_unwanted_gradients = true});
}

TEST_P(Dropout, rejects_impossible_specs) {
  expect_rejected(*backend, spec_of({2, 2, 8}, 1.0F), 2, {"dropout", "rate", "1"});
  expect_rejected(*backend, spec_of({2, 2, 8}, -0.25F), 2, {"dropout", "rate", "-0.25"});
  expect_rejected(*backend, spec_of({2, 2, 8}, std::nanf("")), 2, {"dropout", "rate"});
  expect_rejected(*backend, spec_of({2, 2, 0}), 2, {"dropout", "0"});
  expect_rejected(*backend, spec_of({2, 2, 8}, 0.5F, 1 << 20), 2, {"dropout", "1048576"});  // Philox's salt: 20 bits
  expect_rejected(*backend, spec_of({4096, 4096, 2}), 1, {"dropout"});  // more than 2^24 elements a sample
  expect_rejected(*backend, spec_of({2, 2, 8}), 0, {"dropout", "0"});
}

TEST(DropoutReference, its_gradients_match_finite_differences) {
  expect_gradients_match_differences(spec_of({3, 3, 5}, 0.3F, 2), 3);
}

TEST(DropoutReference, keeps_the_share_that_the_rate_leaves) {
  const DropoutSpec spec = spec_of({1, 1, 20'000}, 0.3F);
  const Tensors given = random_tensors(spec, 1, DType::f32);
  const reference::Values output = reference::forward(spec, 1, Mode::train, arguments_of(given)).output;
  const auto kept = output.size() - static_cast<std::size_t>(std::count(output.begin(), output.end(), 0.0));
  EXPECT_NEAR(static_cast<double>(kept) / 20'000, 0.7, 4 * std::sqrt(0.3 * 0.7 / 20'000));  // four deviations
}

}  // namespace
}  // namespace convoy::test
