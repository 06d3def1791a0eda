// Convolution + bias + activation on every backend against the double-precision loops, and the loops against
// finite differences.
#include <fmt/format.h>

#include <algorithm>

#include "support/operation_fixture.hpp"

namespace convoy::test {
namespace {

const BackendCase kCases[] = {
    {"cpu", Precision::fp32, 3e-6, "fp32 sums of up to 2,313 terms, in an order of the library's own"},
    {"cpu", Precision::bf16, 4e-3, "exact products in fp32 sums; results rounded to 8 bits of mantissa, half of 2^-8"},
    {"cuda", Precision::fp32, 3e-6, "as on the CPU: no tensor cores"},
    {"cuda", Precision::tf32, 2e-3, "both factors of a product rounded or cut to 11 bits, each by up to 2^-10"},
    {"cuda", Precision::bf16, 5e-3, "as on the CPU, and biases of up to 0.5 are rounded like the results"},
    {"cuda", Precision::fp16, 7e-4, "as bf16, with 11 bits of mantissa"},
};

struct Shape {
  const char* what;
  int batch;
  Extent input;
  int outputs;
  Size2 kernel, stride;
  Padding padding;
};

const Shape kShapes[] = {
    {"three channels, valid", 3, {11, 11, 3}, 32, {3, 3}, {1, 1}, {}},
    {"even kernel, odd number of outputs per block", 2, {9, 9, 3}, 24, {2, 2}, {1, 1}, {}},
    {"same padding", 4, {8, 8, 24}, 64, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {"same padding, one sample", 1, {6, 6, 64}, 64, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {"one channel", 5, {10, 10, 1}, 16, {5, 5}, {1, 1}, {}},
    {"one output channel", 3, {7, 7, 16}, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {"pointwise", 3, {5, 6, 32}, 48, {1, 1}, {1, 1}, {}},
    {"pointwise with stride, pixels left over", 2, {8, 8, 32}, 64, {1, 1}, {2, 2}, {}},
    {"stride 2", 3, {9, 9, 16}, 32, {3, 3}, {2, 2}, {1, 1, 1, 1}},
    {"stride 2, a row left over", 3, {8, 8, 16}, 32, {3, 3}, {2, 2}, {1, 1, 1, 1}},
    {"a stride of its own each way", 2, {9, 8, 8}, 16, {3, 3}, {2, 1}, {1, 1, 1, 1}},
    {"asymmetric padding", 2, {7, 9, 7}, 24, {4, 4}, {1, 1}, {1, 2, 1, 2}},
    {"padding below and right only, stride 2", 2, {8, 8, 16}, 16, {3, 3}, {2, 2}, {0, 1, 0, 1}},
    {"padding on one side only", 2, {5, 7, 8}, 8, {3, 5}, {1, 1}, {2, 0, 0, 4}},
    {"a kernel of one row", 2, {6, 9, 16}, 7, {1, 5}, {1, 1}, {0, 0, 2, 2}},
    {"a kernel of one column", 2, {9, 6, 7}, 16, {6, 1}, {1, 1}, {}},
    {"seven by seven, stride 2", 2, {14, 14, 3}, 16, {7, 7}, {2, 2}, {3, 3, 3, 3}},
    {"channels that fill no block", 2, {5, 5, 257}, 7, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {"outputs that fill no block", 2, {5, 5, 7}, 257, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {"one pixel", 3, {1, 1, 24}, 32, {1, 1}, {1, 1}, {}},
    {"one pixel, kernel mostly on the padding", 3, {1, 1, 16}, 24, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {"one pixel, one sample, odd channels", 1, {1, 1, 7}, 3, {1, 1}, {1, 1}, {}},
    {"kernel larger than the image", 2, {2, 3, 8}, 16, {7, 7}, {1, 1}, {3, 3, 3, 3}},
    {"kernel as large as the padded image", 2, {3, 3, 16}, 10, {5, 5}, {1, 1}, {1, 1, 1, 1}},
    {"kernel as large as the image", 2, {6, 6, 24}, 10, {6, 6}, {1, 1}, {}},
    // Large enough for Winograd's algorithm, which takes outputs four by four.
    {"whole tiles", 8, {12, 12, 24}, 40, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {"tiles cut off", 8, {15, 11, 32}, 64, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {"whole tiles, valid", 6, {18, 18, 64}, 32, {3, 3}, {1, 1}, {}},
    {"tiles padded on two sides", 8, {11, 16, 48}, 32, {3, 3}, {1, 1}, {0, 1, 1, 0}},
    {"tiles of channels that fill no block", 8, {8, 16, 67}, 20, {3, 3}, {1, 1}, {1, 1, 1, 1}},
};

ConvSpec spec_of(const Shape& shape) {
  ConvSpec spec;
  spec.input = shape.input;
  spec.kernel = shape.kernel;
  spec.stride = shape.stride;
  spec.padding = shape.padding;
  spec.output = windows_over(shape.input, shape.kernel, shape.stride, shape.padding, shape.outputs);
  return spec;
}

ConvSpec spec_of(const Shape& shape, bool bias, Activation activation) {
  ConvSpec spec = spec_of(shape);
  spec.bias = bias;
  spec.activation = activation;
  return spec;
}

// 3x3, same padding, 16 -> 24 channels.
ConvSpec common_spec() { return spec_of({"", 2, {6, 6, 16}, 24, {3, 3}, {1, 1}, {1, 1, 1, 1}}); }

class Convolution : public OnBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Convolution, testing::ValuesIn(kCases), case_name);

TEST_P(Convolution, matches_the_double_precision_loops_in_every_shape) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.what);
    expect_matches(spec_of(shape), shape.batch);
  }
}

TEST_P(Convolution, with_bias_and_relu_matches_the_double_precision_loops_in_every_shape) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.what);
    expect_matches(spec_of(shape, true, Activation::relu), shape.batch);
  }
}

TEST_P(Convolution, with_bias_or_relu_alone_matches_the_double_precision_loops) {
  for (const int i : {0, 1, 2, 4, 9, 11, 17, 20}) {
    SCOPED_TRACE(kShapes[i].what);
    expect_matches(spec_of(kShapes[i], true, Activation::none), kShapes[i].batch);
    expect_matches(spec_of(kShapes[i], false, Activation::relu), kShapes[i].batch);
  }
}

TEST_P(Convolution, evaluation_gives_the_same_outputs) {
  for (const int i : {0, 1, 2, 8, 17, 19}) {
    SCOPED_TRACE(kShapes[i].what);
    expect_matches(spec_of(kShapes[i], true, Activation::relu), kShapes[i].batch, Mode::evaluate);
  }
}

TEST_P(Convolution, writes_no_gradient_that_the_spec_does_not_ask_for) {
  for (const int wanted : {0, 1, 2, 3, 4, 5, 6, 7}) {
    ConvSpec spec = spec_of(kShapes[2], true, Activation::relu);
    spec.weights_gradient = (wanted & 1) != 0;
    spec.bias_gradient = (wanted & 2) != 0;
    spec.input_gradient = (wanted & 4) != 0;
    SCOPED_TRACE(
        fmt::format("weights {}, bias {}, input {}", spec.weights_gradient, spec.bias_gradient, spec.input_gradient));
    expect_matches(spec, 2);  // null where none is wanted
    run_operation(*backend, spec, 2, Mode::train, tensors(spec, 2), {.offer_unwanted_gradients = true});
  }
}

TEST_P(Convolution, frozen_filters_with_a_trained_bias_on_three_channels) {
  ConvSpec spec = spec_of(kShapes[1], true, Activation::none);  // a whitening layer
  spec.weights_gradient = spec.input_gradient = false;
  expect_matches(spec, 3);
}

TEST_P(Convolution, sums_the_gradient_of_a_bias_over_many_pixels) {
  for (const int outputs : {1, 4, 20, 24, 100, 257}) {  // of 20, 16-bit elements fill no access, those of 32 do
    ConvSpec spec = spec_of({"", 40, {16, 16, 3}, outputs, {1, 1}, {1, 1}, {}}, true, Activation::none);
    SCOPED_TRACE(outputs);
    spec.weights_gradient = spec.input_gradient = false;
    expect_matches(spec, 40);
  }
}

TEST_P(Convolution, repeats_bit_for_bit_where_that_is_asked_for) {
  const auto repeating = make_backend_for_test(GetParam().backend, GetParam().precision, Repeats::bit_for_bit);
  const ConvSpec spec = spec_of(kShapes[2], true, Activation::relu);
  const Tensors given = tensors(spec, 4);
  const Results first = run_operation(*repeating, spec, 4, Mode::train, given);
  const Results second = run_operation(*repeating, spec, 4, Mode::train, given);
  EXPECT_EQ(first.output, second.output);
  EXPECT_EQ(first.input_gradient, second.input_gradient);
  EXPECT_EQ(first.weights_gradient, second.weights_gradient);
  EXPECT_EQ(first.bias_gradient, second.bias_gradient);
}

TEST_P(Convolution, gradients_are_zero_where_the_output_gradient_is) {
  const ConvSpec spec = spec_of(kShapes[2], true, Activation::relu);
  Tensors given = tensors(spec, 4);
  std::fill(given.output_gradient.begin(), given.output_gradient.end(), 0.0F);
  expect_matches(spec, 4, Mode::train, given);
}

TEST_P(Convolution, rejects_an_output_of_the_wrong_size) {
  ConvSpec spec = common_spec();
  spec.output.width = 5;
  expect_rejected(*backend, spec, 2, {"convolution", "5", "6"});
  spec = common_spec();
  spec.output.height = 7;
  expect_rejected(*backend, spec, 2, {"convolution", "7", "6"});
}

TEST_P(Convolution, rejects_a_kernel_larger_than_the_padded_image) {
  ConvSpec spec = common_spec();
  spec.kernel = {9, 9};
  spec.output = {1, 1, 24};
  expect_rejected(*backend, spec, 2, {"convolution", "9"});
}

TEST_P(Convolution, rejects_sizes_that_are_not_positive) {
  ConvSpec spec = common_spec();
  spec.stride = {0, 1};
  expect_rejected(*backend, spec, 2, {"convolution", "0"});
  spec = common_spec();
  spec.kernel = {0, 3};
  expect_rejected(*backend, spec, 2, {"convolution", "0"});
  spec = common_spec();
  spec.output.channels = 0;
  expect_rejected(*backend, spec, 2, {"convolution", "0"});
  spec = common_spec();
  spec.padding.top = -1;
  spec.output.height = 4;  // what the formula gives
  expect_rejected(*backend, spec, 2, {"convolution", "-1"});
  expect_rejected(*backend, common_spec(), 0, {"convolution", "0"});
}

TEST_P(Convolution, rejects_an_activation_whose_derivative_does_not_follow_from_the_output) {
  ConvSpec spec = common_spec();
  spec.activation = Activation::gelu;
  expect_rejected(*backend, spec, 2, {"convolution", "activation"});
  spec.activation = Activation::silu;
  expect_rejected(*backend, spec, 2, {"convolution", "activation"});
}

TEST(ConvolutionReference, its_gradients_match_finite_differences) {
  for (const int i : {0, 1, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 20, 22}) {
    SCOPED_TRACE(kShapes[i].what);
    ConvSpec spec = spec_of(kShapes[i], true, Activation::relu);
    expect_gradients_match_differences(spec, 2);
    spec.activation = Activation::none;
    spec.bias = false;
    expect_gradients_match_differences(spec, 1);
  }
}

TEST(ConvolutionReference, knows_a_small_case_by_hand) {
  // 2x2 image, one channel, 2x2 filter, padding above and left: each output is a part of the filter upon the image.
  ConvSpec spec = spec_of({"", 1, {2, 2, 1}, 1, {2, 2}, {1, 1}, {1, 0, 1, 0}}, true, Activation::relu);
  reference::Arguments arguments;
  arguments.input = {1, 2, 3, 4};
  arguments.weights = {10, 20, 30, -40};
  arguments.bias = {100};
  // before the activation: -40 + 100, 30 - 80 + 100, 20 - 120 + 100, 10 + 40 + 90 - 160 + 100
  EXPECT_EQ(reference::forward(spec, 1, Mode::train, arguments).output, (reference::Values{60, 50, 0, 80}));
  const reference::Gradients gradients = reference::backward(spec, 1, arguments, {1, 2, 4, 8});
  EXPECT_EQ(gradients.bias, (reference::Values{11}));  // the third is cut off
  EXPECT_EQ(gradients.weights, (reference::Values{8 * 1, 8 * 2, 8 * 3 + 2 * 1, 8 * 4 + 2 * 2 + 1 * 1}));
  EXPECT_EQ(gradients.input, (reference::Values{-40 * 1 + 30 * 2 + 10 * 8, -40 * 2 + 20 * 8, 30 * 8, -40 * 8}));
}

}  // namespace
}  // namespace convoy::test
