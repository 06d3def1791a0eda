// Max and average pooling on every backend against the double-precision loops, and the loops against finite
// differences.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "support/operation_fixture.hpp"

namespace convoy::test {
namespace {

const BackendCase kCases[] = {
    {"cpu", Precision::fp32, 1e-6, "fp32 sums of at most 64 terms"},
    {"cpu", Precision::bf16, 4e-3, "fp32 sums; results rounded to 8 bits of mantissa, half of 2^-8"},
    {"cuda", Precision::fp32, 1e-6, "fp32 sums of at most 64 terms"},
    {"cuda", Precision::bf16, 4e-3, "fp32 sums; results rounded to 8 bits of mantissa, half of 2^-8"},
    {"cuda", Precision::fp16, 5e-4, "fp32 sums; results rounded to 11 bits of mantissa, half of 2^-10"},
};

using Kind = PoolSpec::Kind;

struct Shape {
  const char* what;
  int batch;
  Extent input;
  Size2 kernel, stride;
  Padding padding;
};

const Shape kShapes[] = {
    {"two by two", 3, {8, 8, 16}, {2, 2}, {2, 2}, {}},
    {"a row and a column left over", 3, {9, 7, 16}, {2, 2}, {2, 2}, {}},
    {"overlapping windows", 2, {9, 9, 8}, {3, 3}, {2, 2}, {}},
    {"overlapping windows with padding", 2, {8, 8, 24}, {3, 3}, {2, 2}, {1, 1, 1, 1}},
    {"stride 1, same size", 2, {5, 6, 8}, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {"padding below and right only", 2, {7, 7, 8}, {2, 2}, {2, 2}, {0, 1, 0, 1}},
    {"asymmetric windows and padding", 2, {6, 8, 7}, {2, 4}, {2, 3}, {1, 0, 2, 1}},
    {"gaps between the windows", 2, {9, 9, 8}, {2, 2}, {3, 3}, {}},
    {"the whole image", 3, {7, 7, 24}, {7, 7}, {1, 1}, {}},
    {"the whole image of odd channels", 1, {4, 3, 257}, {4, 3}, {4, 3}, {}},
    {"three channels", 4, {8, 8, 3}, {2, 2}, {2, 2}, {}},
    {"channels that fill no block", 2, {6, 6, 20}, {3, 3}, {3, 3}, {}},
    {"one pixel", 2, {1, 1, 24}, {1, 1}, {1, 1}, {}},
    {"one pixel among padding", 2, {1, 1, 8}, {3, 3}, {2, 2}, {1, 1, 1, 1}},
};

PoolSpec spec_of(const Shape& shape, Kind kind) {
  PoolSpec spec;
  spec.kind = kind;
  spec.input = shape.input;
  spec.kernel = shape.kernel;
  spec.stride = shape.stride;
  spec.padding = shape.padding;
  spec.output = windows_over(shape.input, shape.kernel, shape.stride, shape.padding, shape.input.channels);
  return spec;
}

const char* name(Kind kind) { return kind == Kind::max ? "max" : "average"; }

class Pool : public OnBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Pool, testing::ValuesIn(kCases), case_name);

TEST_P(Pool, matches_the_double_precision_loops_in_every_shape) {
  for (const Kind kind : {Kind::max, Kind::average}) {
    for (const Shape& shape : kShapes) {
      SCOPED_TRACE(fmt::format("{}: {}", name(kind), shape.what));
      expect_matches(spec_of(shape, kind), shape.batch);
      expect_matches(spec_of(shape, kind), shape.batch, Mode::evaluate);
    }
  }
}

TEST_P(Pool, writes_no_gradient_that_the_spec_does_not_ask_for) {
  for (const Kind kind : {Kind::max, Kind::average}) {
    SCOPED_TRACE(name(kind));
    PoolSpec spec = spec_of(kShapes[3], kind);
    spec.input_gradient = false;
    expect_matches(spec, 2);
    run_operation(*backend, spec, 2, Mode::train, tensors(spec, 2), {.offer_unwanted_gradients = true});
  }
}

TEST_P(Pool, of_negative_values_the_maximum_is_not_the_padding) {
  const PoolSpec spec = spec_of(kShapes[3], Kind::max);
  Tensors given = tensors(spec, 2);
  for (float& value : given.input) value = -std::abs(value) - 1;
  for (float& value : given.input) value *= 1024;
  const Results results = run_operation(*backend, spec, 2, Mode::evaluate, given);
  expect_close("output", results.output, reference::forward(spec, 2, Mode::evaluate, arguments_of(given)).output,
               GetParam().tolerance);
}

TEST_P(Pool, of_equal_values_exactly_one_gets_the_gradient) {
  const PoolSpec spec = spec_of(kShapes[0], Kind::max);
  Tensors given = tensors(spec, 3);
  std::fill(given.input.begin(), given.input.end(), 0.5F);
  const Results results = run_operation(*backend, spec, 3, Mode::train, given);
  std::vector<float> found = results.input_gradient, expected = given.output_gradient;
  std::erase(found, 0.0F);
  std::erase(expected, 0.0F);
  std::sort(found.begin(), found.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(found, expected);
}

TEST_P(Pool, a_window_of_more_than_256_pixels_knows_its_maximum) {
  for (const Size2& stride : {Size2{2, 1}, Size2{17, 18}}) {
    PoolSpec spec = spec_of({"", 2, {20, 21, 8}, {17, 18}, stride, {}}, Kind::average);
    const Tensors given = tensors(spec, 2);  // of an average: so many values of 16 bits cannot all be distinct
    spec.kind = Kind::max;
    expect_matches(spec, 2, Mode::train, given);
  }
}

TEST_P(Pool, rejects_impossible_specs) {
  for (const Kind kind : {Kind::max, Kind::average}) {
    SCOPED_TRACE(name(kind));
    const PoolSpec good = spec_of(kShapes[0], kind);
    PoolSpec spec = good;
    spec.output.height = 5;
    expect_rejected(*backend, spec, 2, {"pool", "5", "4"});
    spec = good;
    spec.output.channels = 24;
    expect_rejected(*backend, spec, 2, {"pool", "24", "16"});
    spec = good;
    spec.stride.width = 0;
    expect_rejected(*backend, spec, 2, {"pool", "0"});
    spec = good;
    spec.kernel = {9, 9};
    spec.output = {1, 1, 16};
    expect_rejected(*backend, spec, 2, {"pool", "9"});
    spec = good;
    spec.padding = {2, 2, 2, 2};  // the corner's window would hold no pixel
    spec.output = {6, 6, 16};
    expect_rejected(*backend, spec, 2, {"pool", "padding"});
    expect_rejected(*backend, good, 0, {"pool", "0"});
  }
}

TEST(PoolReference, its_gradients_match_finite_differences) {
  for (const Kind kind : {Kind::max, Kind::average}) {
    for (const Shape& shape : kShapes) {
      SCOPED_TRACE(fmt::format("{}: {}", name(kind), shape.what));
      expect_gradients_match_differences(spec_of(shape, kind), 1);
    }
  }
}

TEST(PoolReference, an_average_divides_by_the_pixels_inside_the_image) {
  const PoolSpec spec = spec_of({"", 1, {2, 2, 1}, {2, 2}, {2, 2}, {1, 1, 1, 1}}, Kind::average);
  reference::Arguments arguments;
  arguments.input = {1, 2, 3, 4};
  EXPECT_EQ(reference::forward(spec, 1, Mode::train, arguments).output, arguments.input);
}

}  // namespace
}  // namespace convoy::test
