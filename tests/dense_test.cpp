// Dense + bias + activation on every backend against the double-precision loops, and the loops against finite
// differences.
#include <fmt/format.h>

#include "support/operation_fixture.hpp"

namespace convoy::test {
namespace {

const BackendCase kCases[] = {
    {"cpu", Precision::fp32, 2e-6, "fp32 sums of up to 2,304 terms, in an order of the library's own"},
    {"cpu", Precision::bf16, 4e-3, "exact products in fp32 sums; results rounded to 8 bits of mantissa, half of 2^-8"},
    {"cuda", Precision::fp32, 2e-6, "fp32 sums of up to 2,304 terms, TF32 off"},
    {"cuda", Precision::tf32, 2e-3, "both factors of a product rounded or cut to 11 bits, each by up to 2^-10"},
    {"cuda", Precision::bf16, 4e-3, "exact products in fp32 sums; bias and results rounded, each by half of 2^-8"},
    {"cuda", Precision::fp16, 1e-3, "exact products in fp32 sums; bias and results rounded, each by half of 2^-10"},
};

struct Shape {
  const char* what;
  int batch;
  Extent input;
  int outputs;
};

const Shape kShapes[] = {
    {"a vector", 8, {1, 1, 128}, 10},
    {"an image flattened in HWC order", 4, {4, 4, 16}, 32},
    {"an image of three channels", 3, {5, 6, 3}, 7},
    {"channels that fill no block", 3, {3, 3, 20}, 16},
    {"odd everything", 5, {3, 2, 7}, 257},
    {"one sample", 1, {6, 6, 64}, 10},
    {"one input", 4, {1, 1, 1}, 3},
    {"one output", 4, {2, 2, 24}, 1},
    {"one of each", 1, {1, 1, 1}, 1},
    {"257 channels of one pixel", 2, {1, 1, 257}, 24},
    {"257 channels of four pixels", 2, {2, 2, 257}, 8},
    {"many samples, few of all else", 67, {1, 1, 8}, 8},
};

DenseSpec spec_of(const Shape& shape, bool bias = false, Activation activation = Activation::none) {
  DenseSpec spec;
  spec.input = shape.input;
  spec.outputs = shape.outputs;
  spec.bias = bias;
  spec.activation = activation;
  return spec;
}

class Dense : public OnBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Dense, testing::ValuesIn(kCases), case_name);

TEST_P(Dense, matches_the_double_precision_loops_in_every_shape) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.what);
    expect_matches(spec_of(shape), shape.batch);
    expect_matches(spec_of(shape, true, Activation::relu), shape.batch);
  }
}

TEST_P(Dense, with_bias_or_relu_alone_matches_the_double_precision_loops) {
  for (const int i : {0, 1, 4}) {
    SCOPED_TRACE(kShapes[i].what);
    expect_matches(spec_of(kShapes[i], true, Activation::none), kShapes[i].batch);
    expect_matches(spec_of(kShapes[i], false, Activation::relu), kShapes[i].batch);
  }
}

TEST_P(Dense, logits_are_fp32_rows_whatever_the_compute_type) {
  for (const Shape& shape : kShapes) {
    for (const bool bias : {false, true}) {
      SCOPED_TRACE(fmt::format("{}, bias {}", shape.what, bias));
      DenseSpec spec = spec_of(shape, bias);
      spec.float_output = true;
      const Tensors given = tensors(spec, shape.batch);
      expect_matches(spec, shape.batch, Mode::train, given);
      // Tighter than a 16-bit type's own tolerance: nothing has been rounded to the compute type.
      // Tensor cores may cut their sums, of 16 products at a time, where others round.
      const auto [name, precision, of_results, why] = GetParam();
      const bool cuts_sums = name == std::string_view("cuda") && compute_type(precision) != DType::f32;
      const double tolerance = precision == Precision::tf32 ? of_results : cuts_sums ? 1e-5 : 2e-6;
      const Results results = run_operation(*backend, spec, shape.batch, Mode::evaluate, given);
      expect_close("logits", results.output,
                   reference::forward(spec, shape.batch, Mode::evaluate, arguments_of(given)).output, tolerance);
    }
  }
}

TEST_P(Dense, evaluation_gives_the_same_outputs) {
  for (const int i : {0, 1, 3, 4, 5}) {
    SCOPED_TRACE(kShapes[i].what);
    expect_matches(spec_of(kShapes[i], true, Activation::relu), kShapes[i].batch, Mode::evaluate);
  }
}

TEST_P(Dense, writes_no_gradient_that_the_spec_does_not_ask_for) {
  for (const int wanted : {0, 1, 2, 3, 4, 5, 6, 7}) {
    DenseSpec spec = spec_of(kShapes[1], true, Activation::relu);
    spec.weights_gradient = (wanted & 1) != 0;
    spec.bias_gradient = (wanted & 2) != 0;
    spec.input_gradient = (wanted & 4) != 0;
    SCOPED_TRACE(
        fmt::format("weights {}, bias {}, input {}", spec.weights_gradient, spec.bias_gradient, spec.input_gradient));
    expect_matches(spec, 4);  // null where none is wanted
    run_operation(*backend, spec, 4, Mode::train, tensors(spec, 4), {.offer_unwanted_gradients = true});
  }
}

TEST_P(Dense, repeats_bit_for_bit) {
  const DenseSpec spec = spec_of(kShapes[1], true, Activation::relu);
  const Tensors given = tensors(spec, 16);
  const Results first = run_operation(*backend, spec, 16, Mode::train, given);
  const Results second = run_operation(*backend, spec, 16, Mode::train, given);
  EXPECT_EQ(first.output, second.output);
  EXPECT_EQ(first.input_gradient, second.input_gradient);
  EXPECT_EQ(first.weights_gradient, second.weights_gradient);
  EXPECT_EQ(first.bias_gradient, second.bias_gradient);
}

TEST_P(Dense, rejects_impossible_specs) {
  DenseSpec spec = spec_of(kShapes[0]);
  spec.outputs = 0;
  expect_rejected(*backend, spec, 2, {"dense", "0"});
  spec = spec_of(kShapes[0]);
  spec.input.channels = 0;
  expect_rejected(*backend, spec, 2, {"dense", "0"});
  spec = spec_of(kShapes[0]);
  spec.activation = Activation::gelu;
  expect_rejected(*backend, spec, 2, {"dense", "activation"});
  expect_rejected(*backend, spec_of(kShapes[0]), 0, {"dense", "0"});
  if (backend->compute_type() == DType::f32) return;
  spec = spec_of(kShapes[0], true, Activation::relu);
  spec.float_output = true;
  expect_rejected(*backend, spec, 2, {"dense", "logits", "activation"});
}

TEST(DenseReference, its_gradients_match_finite_differences) {
  for (const int i : {2, 3, 6, 7}) {
    SCOPED_TRACE(kShapes[i].what);
    expect_gradients_match_differences(spec_of(kShapes[i], true, Activation::relu), 3);
    expect_gradients_match_differences(spec_of(kShapes[i]), 2);
  }
}

TEST(DenseReference, knows_a_small_case_by_hand) {
  DenseSpec spec = spec_of({"", 1, {1, 1, 2}, 2}, true, Activation::relu);
  reference::Arguments arguments;
  arguments.input = {3, 5};
  arguments.weights = {1, 2, -1, 0};
  arguments.bias = {10, 1};
  EXPECT_EQ(reference::forward(spec, 1, Mode::train, arguments).output, (reference::Values{23, 0}));
  const reference::Gradients gradients = reference::backward(spec, 1, arguments, {2, 7});
  EXPECT_EQ(gradients.input, (reference::Values{2, 4}));
  EXPECT_EQ(gradients.weights, (reference::Values{6, 10, 0, 0}));
  EXPECT_EQ(gradients.bias, (reference::Values{2, 0}));
}

}  // namespace
}  // namespace convoy::test
