// Max-pool, normalisation, residual and activation in one, on every backend against the double-precision loops, and
// the loops against finite differences.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "support/operation_fixture.hpp"

namespace convoy::test {
namespace {

const BackendCase kCases[] = {
    {"cpu", Precision::fp32, 2e-6, "fp32 sums of up to some hundred terms, and their differences in the backward pass"},
    {"cpu", Precision::bf16, 4e-3, "fp32 inside; results rounded to 8 bits of mantissa, by 2^-8 at most"},
    {"cuda", Precision::fp32, 2e-6,
     "fp32 sums of up to some hundred terms, and their differences in the backward pass"},
    {"cuda", Precision::bf16, 4e-3, "fp32 inside; results rounded to 8 bits of mantissa, by 2^-8 at most"},
    {"cuda", Precision::fp16, 5e-4, "fp32 inside; results rounded to 11 bits of mantissa, by 2^-11 at most"},
};

struct Shape {
  const char* what;
  int batch;
  Extent input;
};

const Shape kShapes[] = {
    {"whole blocks", 4, {6, 6, 16}},  {"rows and columns left over, channels that fill no block", 3, {7, 8, 24}},
    {"three channels", 3, {9, 5, 3}}, {"seven channels", 2, {4, 7, 7}},
    {"257 channels", 3, {3, 6, 257}}, {"twenty channels", 6, {3, 4, 20}},
    {"one sample", 1, {6, 6, 32}},
};

EpilogueSpec spec_of(const Extent& input, int pool, bool normalise, bool residual, Activation activation) {
  EpilogueSpec spec;
  spec.input = input;
  spec.output = {input.height / pool, input.width / pool, input.channels};
  spec.pool = pool;
  spec.normalise = normalise;
  spec.residual = residual;
  spec.activation = activation;
  return spec;
}

const char* name(Activation activation) {
  switch (activation) {
    case Activation::none:
      return "none";
    case Activation::relu:
      return "relu";
    case Activation::gelu:
      return "gelu";
    case Activation::silu:
      return "silu";
  }
  return "?";
}

std::string text(const EpilogueSpec& s) {
  return fmt::format("{}x{}x{} pool {} normalise {} residual {} activation {} groups of {}", s.input.height,
                     s.input.width, s.input.channels, s.pool, s.normalise, s.residual, name(s.activation),
                     s.group_size);
}

constexpr Activation kActivations[] = {Activation::none, Activation::relu, Activation::gelu, Activation::silu};

// Every combination of the fused parts on one input.
std::vector<EpilogueSpec> every_combination(const Extent& input) {
  std::vector<EpilogueSpec> specs;
  for (const int pool : {1, 2, 3}) {
    for (const bool normalise : {false, true}) {
      for (const bool residual : {false, true}) {
        for (const Activation activation : kActivations) {
          specs.push_back(spec_of(input, pool, normalise, residual, activation));
        }
      }
    }
  }
  return specs;
}

class Epilogue : public OnBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Epilogue, testing::ValuesIn(kCases), case_name);

TEST_P(Epilogue, every_combination_matches_the_double_precision_loops) {
  for (const Shape& shape : kShapes) {
    for (const EpilogueSpec& spec : every_combination(shape.input)) {
      SCOPED_TRACE(fmt::format("{}: {}", shape.what, text(spec)));
      expect_matches(spec, shape.batch);
    }
  }
}

TEST_P(Epilogue, every_combination_matches_in_evaluation) {
  for (const Shape& shape : kShapes) {
    for (const EpilogueSpec& spec : every_combination(shape.input)) {
      SCOPED_TRACE(fmt::format("{}: {}", shape.what, text(spec)));
      expect_matches(spec, shape.batch, Mode::evaluate);
    }
  }
}

TEST_P(Epilogue, normalises_each_group_of_samples_by_itself) {
  for (const int pool : {1, 2, 3}) {
    for (const int group_size : {1, 2, 3, 6}) {
      for (const Extent& input : {Extent{6, 6, 16}, Extent{6, 7, 7}}) {
        EpilogueSpec spec = spec_of(input, pool, true, true, Activation::gelu);
        spec.group_size = group_size;
        SCOPED_TRACE(text(spec));
        expect_matches(spec, 6);
      }
    }
  }
}

TEST_P(Epilogue, the_last_group_may_be_smaller) {
  EpilogueSpec spec = spec_of({4, 4, 16}, 1, true, false, Activation::relu);
  spec.group_size = 4;
  expect_matches(spec, 7);
}

// Enough pixels and channels that no backend sums or writes them in one piece.
TEST_P(Epilogue, tensors_of_many_pixels_and_channels_match) {
  struct Large {
    int batch;
    Extent input;
    int pool, group_size;
  };
  const Large cases[] = {
      {12, {12, 12, 72}, 1, 0}, {13, {25, 24, 72}, 2, 0}, {9, {17, 17, 16}, 1, 4},
      {14, {13, 13, 21}, 1, 0}, {5, {31, 31, 33}, 3, 2},
  };
  for (const Large& one : cases) {
    for (const bool residual : {false, true}) {
      EpilogueSpec spec = spec_of(one.input, one.pool, true, residual, Activation::gelu);
      spec.group_size = one.group_size;
      SCOPED_TRACE(fmt::format("{}, batch {}", text(spec), one.batch));
      expect_matches(spec, one.batch);
    }
  }
}

// What a rank whose share of a batch is smaller than the others' computes.
TEST_P(Epilogue, rows_beyond_the_steps_count_are_as_if_they_were_not_there) {
  struct Rows {
    Extent input;
    int batch, valid;
  };
  // The larger one is summed in several pieces.
  for (const Rows& rows : {Rows{{4, 4, 20}, 6, 4}, Rows{{26, 26, 24}, 12, 7}}) {
    for (const int pool : {1, 2}) {
      for (const int group_size : {0, 3}) {
        EpilogueSpec spec = spec_of(rows.input, pool, true, true, Activation::silu);
        spec.group_size = group_size;
        SCOPED_TRACE(text(spec));
        Tensors padded = tensors(spec, rows.batch);
        padded.row.count = rows.valid;
        const auto part = [&](const std::vector<float>& values) {
          return std::vector<float>(
              values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size()) * rows.valid / rows.batch);
        };
        Tensors valid = padded;
        for (auto* values : {&valid.input, &valid.residual, &valid.output_gradient}) *values = part(*values);
        const Results all = run_operation(*backend, spec, rows.batch, Mode::train, padded);
        const Results expected = run_operation(*backend, spec, rows.valid, Mode::train, valid);
        for (const auto member : {&Results::output, &Results::input_gradient, &Results::residual_gradient}) {
          EXPECT_EQ(part(all.*member), expected.*member);
          EXPECT_TRUE(std::all_of((all.*member).begin() + static_cast<std::ptrdiff_t>((expected.*member).size()),
                                  (all.*member).end(), [](float value) { return value == 0; }));
        }
        EXPECT_EQ(all.weights_gradient, expected.weights_gradient);
        EXPECT_EQ(all.bias_gradient, expected.bias_gradient);
        EXPECT_EQ(all.running_mean, expected.running_mean);
        EXPECT_EQ(all.running_variance, expected.running_variance);
      }
    }
  }
}

TEST_P(Epilogue, without_a_valid_row_the_statistics_stay_and_gradients_are_zero) {
  const EpilogueSpec spec = spec_of({4, 4, 20}, 1, true, false, Activation::gelu);
  Tensors empty = tensors(spec, 3);
  empty.row.count = 0;
  const Results found = run_operation(*backend, spec, 3, Mode::train, empty);
  EXPECT_EQ(found.running_mean, empty.running_mean);
  EXPECT_EQ(found.running_variance, empty.running_variance);
  for (const auto member :
       {&Results::output, &Results::input_gradient, &Results::weights_gradient, &Results::bias_gradient}) {
    EXPECT_EQ(found.*member, std::vector<float>((found.*member).size(), 0.0F));
  }
}

TEST_P(Epilogue, groups_equal_the_batches_they_imitate) {
  EpilogueSpec spec = spec_of({4, 4, 16}, 2, true, false, Activation::silu);
  const Tensors whole = tensors(spec, 6);
  spec.group_size = 2;
  const Results together = run_operation(*backend, spec, 6, Mode::train, whole);
  spec.group_size = 0;
  for (const int part : {0, 1, 2}) {
    const auto slice = [&](const std::vector<float>& values) {
      const auto third = static_cast<std::ptrdiff_t>(values.size() / 3);
      return std::vector<float>(values.begin() + part * third, values.begin() + (part + 1) * third);
    };
    Tensors given = whole;
    given.input = slice(whole.input);
    given.output_gradient = slice(whole.output_gradient);
    const Results apart = run_operation(*backend, spec, 2, Mode::train, given);
    EXPECT_EQ(apart.output, slice(together.output));
    EXPECT_EQ(apart.input_gradient, slice(together.input_gradient));
  }
}

TEST_P(Epilogue, scale_and_shift_may_be_absent) {
  for (const int pool : {1, 2}) {
    for (const Mode mode : {Mode::train, Mode::evaluate}) {
      for (const bool scale : {false, true}) {
        for (const bool shift : {false, true}) {
          EpilogueSpec spec = spec_of({6, 6, 24}, pool, true, false, Activation::gelu);
          spec.scale_gradient = scale;
          spec.shift_gradient = shift;
          SCOPED_TRACE(fmt::format("{}, scale {}, shift {}, {}", text(spec), scale, shift,
                                   mode == Mode::train ? "training" : "evaluation"));
          Tensors given = tensors(spec, 3);
          if (!scale) given.weights.clear();
          if (!shift) given.bias.clear();
          expect_matches(spec, 3, mode, given);
        }
      }
    }
  }
}

TEST_P(Epilogue, writes_no_gradient_that_the_spec_does_not_ask_for) {
  for (const int wanted : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) {
    for (const int pool : {1, 2}) {
      EpilogueSpec spec = spec_of({4, 4, 24}, pool, true, true, Activation::relu);
      spec.scale_gradient = (wanted & 1) != 0;
      spec.shift_gradient = (wanted & 2) != 0;
      spec.input_gradient = (wanted & 4) != 0;
      spec.residual_gradient = (wanted & 8) != 0;
      SCOPED_TRACE(fmt::format("{}: scale {}, shift {}, input {}, residual {}", text(spec), spec.scale_gradient,
                               spec.shift_gradient, spec.input_gradient, spec.residual_gradient));
      expect_matches(spec, 3);  // null where none is wanted
      run_operation(*backend, spec, 3, Mode::train, tensors(spec, 3), {.offer_unwanted_gradients = true});
    }
  }
}

TEST_P(Epilogue, a_smooth_activation_alone_gives_the_gradient_of_a_bias_before_it) {
  std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
  shapes.push_back({"many pixels", 13, {31, 31, 24}});
  for (const Shape& shape : shapes) {
    for (const Activation activation : {Activation::gelu, Activation::silu}) {
      EpilogueSpec spec = spec_of(shape.input, 1, false, false, activation);
      spec.input_gradient = false;
      spec.bias_gradient = true;
      SCOPED_TRACE(fmt::format("{}: {}", shape.what, text(spec)));
      const Tensors given = tensors(spec, shape.batch);
      expect_matches(spec, shape.batch, Mode::train, given);
      EXPECT_EQ(run_operation(*backend, spec, shape.batch, Mode::train, given).bias_gradient,
                run_operation(*backend, spec, shape.batch, Mode::train, given).bias_gradient);
      Tensors padded = given;
      padded.row.count = shape.batch - 1;
      std::fill(padded.output_gradient.end() - shape.input.elements(), padded.output_gradient.end(), 0.0F);
      expect_matches(spec, shape.batch, Mode::train, padded);
    }
  }
}

TEST_P(Epilogue, epsilon_and_momentum_are_those_of_the_spec) {
  EpilogueSpec spec = spec_of({4, 4, 16}, 1, true, false, Activation::none);
  spec.epsilon = 0.5F;
  spec.statistics_momentum = 0.4F;
  expect_matches(spec, 3);
  expect_matches(spec, 3, Mode::evaluate);
  spec.epsilon = 1e-12F;
  spec.statistics_momentum = 1;
  expect_matches(spec, 3);
}

TEST_P(Epilogue, the_variance_survives_a_mean_of_a_hundred_deviations) {
  // The rounding of x - mean alone is 100 * 2^-24 of a deviation, some ten of them in all; a variance taken as a
  // difference of squares in fp32 would be off by 100^2 * 2^-24, and the input's gradient with it.
  if (GetParam().precision != Precision::fp32) GTEST_SKIP() << "16 bits cannot hold such an input";
  for (const int pool : {1, 2}) {
    const EpilogueSpec spec = spec_of({8, 8, 16}, pool, true, false, Activation::gelu);
    SCOPED_TRACE(text(spec));
    Tensors given = tensors(spec, 4);
    for (float& value : given.input) value = 100 + value;
    expect_matches_reference(*backend, spec, 4, Mode::train, given, 6e-5);
  }
}

TEST_P(Epilogue, a_channel_of_two_values_is_normalised) {
  EpilogueSpec spec = spec_of({3, 3, 257}, 3, true, false, Activation::gelu);
  expect_matches(spec, 2, Mode::evaluate);
  // Of two values the input's gradient is nothing but epsilon's share: the smaller epsilon, the more of it cancels.
  spec.epsilon = 0.5F;
  expect_matches(spec, 2);
  spec.group_size = 2;
  expect_matches(spec, 6);
}

TEST_P(Epilogue, a_channel_of_one_value_gives_the_shift_and_no_gradient) {
  for (const int batch : {1, 3}) {
    EpilogueSpec spec = spec_of({1, 1, 20}, 1, true, false, Activation::none);
    spec.group_size = 1;
    const Tensors given = tensors(spec, batch);
    const Results results = run_operation(*backend, spec, batch, Mode::train, given);
    const reference::Outputs expected = reference::forward(spec, batch, Mode::train, arguments_of(given));
    expect_close("output", results.output, expected.output, GetParam().tolerance);
    expect_close("running_mean", results.running_mean, expected.running_mean, GetParam().tolerance);
    expect_close("running_variance", results.running_variance, expected.running_variance, GetParam().tolerance);
    // Terms of up to 1.5 * 1.25 / sqrt(epsilon) = 600 that cancel, each rounded to 24 bits.
    for (const float value : results.input_gradient) EXPECT_LE(std::abs(value), 600 * 0x1p-22F);
  }
}

TEST_P(Epilogue, a_constant_channel_gives_the_shift_and_finite_gradients) {
  const EpilogueSpec spec = spec_of({4, 4, 16}, 1, true, false, Activation::none);
  Tensors given = tensors(spec, 2);
  std::fill(given.input.begin(), given.input.end(), 0.75F);
  const Results results = run_operation(*backend, spec, 2, Mode::train, given);
  expect_close("output", results.output, reference::forward(spec, 2, Mode::train, arguments_of(given)).output,
               GetParam().tolerance);
  for (const float value : results.input_gradient) EXPECT_TRUE(std::isfinite(value));
}

TEST_P(Epilogue, large_arguments_neither_overflow_nor_lose_the_gradient) {
  for (const Activation activation : kActivations) {
    const EpilogueSpec spec = spec_of({4, 4, 16}, 1, false, false, activation);
    SCOPED_TRACE(text(spec));
    Tensors given = tensors(spec, 2);
    for (float& value : given.input) value *= 128;  // a power of two: still exact in 16 bits
    expect_matches(spec, 2, Mode::train, given);
  }
}

void expect_same_bits(const Results& first, const Results& second) {
  EXPECT_EQ(first.output, second.output);
  EXPECT_EQ(first.input_gradient, second.input_gradient);
  EXPECT_EQ(first.weights_gradient, second.weights_gradient);
  EXPECT_EQ(first.bias_gradient, second.bias_gradient);
  EXPECT_EQ(first.running_mean, second.running_mean);
  EXPECT_EQ(first.running_variance, second.running_variance);
}

TEST_P(Epilogue, repeats_bit_for_bit) {
  const EpilogueSpec spec = spec_of({6, 6, 24}, 2, true, true, Activation::gelu);
  const Tensors given = tensors(spec, 5);
  const Results first = run_operation(*backend, spec, 5, Mode::train, given);
  expect_same_bits(first, run_operation(*backend, spec, 5, Mode::train, given));
}

TEST_P(Epilogue, gives_the_same_bits_in_one_launch_and_in_two) {
  if (GetParam().backend == std::string_view("cpu")) GTEST_SKIP() << "a CPU launches nothing";
  const auto in_two = test::make_backend_beside_collectives(GetParam().backend, GetParam().precision);
  for (const Shape& shape : kShapes) {
    for (const int pool : {1, 2, 3}) {
      const EpilogueSpec spec = spec_of(shape.input, pool, true, true, Activation::gelu);
      SCOPED_TRACE(fmt::format("{}: {}", shape.what, text(spec)));
      const Tensors given = tensors(spec, shape.batch);
      const Results in_one = run_operation(*backend, spec, shape.batch, Mode::train, given);
      expect_same_bits(in_one, run_operation(*in_two, spec, shape.batch, Mode::train, given));
    }
  }
}

TEST_P(Epilogue, rejects_impossible_specs) {
  const EpilogueSpec good = spec_of({6, 6, 16}, 2, true, true, Activation::relu);
  EpilogueSpec spec = good;
  spec.output.height = 4;
  expect_rejected(*backend, spec, 2, {"epilogue", "4", "3"});
  spec = good;
  spec.output.channels = 24;
  expect_rejected(*backend, spec, 2, {"epilogue", "24", "16"});
  spec = good;
  spec.pool = 0;
  expect_rejected(*backend, spec, 2, {"epilogue", "0"});
  spec = good;
  spec.pool = 7;
  spec.output = {0, 0, 16};
  expect_rejected(*backend, spec, 2, {"epilogue", "7"});
  spec = good;
  spec.group_size = -1;
  expect_rejected(*backend, spec, 2, {"epilogue", "-1"});
  spec = good;
  spec.epsilon = -1;
  expect_rejected(*backend, spec, 2, {"epilogue", "-1"});
  spec = good;
  spec.bias_gradient = true;
  expect_rejected(*backend, spec, 2, {"epilogue", "bias"});
  expect_rejected(*backend, good, 0, {"epilogue", "0"});
}

TEST(EpilogueReference, its_gradients_match_finite_differences) {
  for (const Extent& input : {Extent{4, 5, 3}, Extent{3, 3, 5}}) {
    for (EpilogueSpec spec : every_combination(input)) {
      SCOPED_TRACE(text(spec));
      expect_gradients_match_differences(spec, 4);
      spec.group_size = 3;  // the last has one sample
      if (spec.normalise) expect_gradients_match_differences(spec, 4);
    }
  }
}

TEST(EpilogueReference, knows_a_small_case_by_hand) {
  EpilogueSpec spec = spec_of({1, 2, 1}, 1, true, false, Activation::none);
  spec.epsilon = 0;
  spec.statistics_momentum = 0.25F;
  reference::Arguments arguments;
  arguments.input = {1, 3, 5, 7};  // mean 4, variance 5, unbiased 20/3
  arguments.weights = {2};
  arguments.bias = {10};
  arguments.running_mean = {8};
  arguments.running_variance = {1};
  const reference::Outputs outputs = reference::forward(spec, 2, Mode::train, arguments);
  EXPECT_NEAR(outputs.output[0], 10 - 6 / std::sqrt(5.0), 1e-12);
  EXPECT_NEAR(outputs.output[3], 10 + 6 / std::sqrt(5.0), 1e-12);
  EXPECT_NEAR(outputs.running_mean[0], 7, 1e-12);
  EXPECT_NEAR(outputs.running_variance[0], 0.75 + 5.0 / 3, 1e-12);
  EXPECT_EQ(reference::forward(spec, 2, Mode::evaluate, arguments).output,
            (reference::Values{10 - 14, 10 - 10, 10 - 6, 10 - 2}));
}

}  // namespace
}  // namespace convoy::test
