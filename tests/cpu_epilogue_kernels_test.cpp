// The CPU's epilogue and activation loops of every instruction set that this processor can run: against
// double-precision loops, against libm, and the same bits for any number of threads.
// needs: oneDNN
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "support/cpu_kernels.hpp"

namespace convoy::cpu {
namespace {

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::gelu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::silu:
      return x / (1 + std::exp(-x));
    default:
      return x;
  }
}

double derivative(Activation activation, double x) {
  const double share = 1 / (1 + std::exp(-x));
  switch (activation) {
    case Activation::relu:
      return x > 0 ? 1 : 0;
    case Activation::gelu:
      return 0.5 * std::erfc(-x / std::sqrt(2.0)) + x * std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0));
    case Activation::silu:
      return share * (1 + x * (1 - share));
    default:
      return 1;
  }
}

struct Case {
  EpilogueSpec spec;
  int batch;
};

// Everything that one forward and backward pass gives, NHWC.
struct Results {
  std::vector<double> output, input_gradient, residual_gradient;
  std::vector<double> scale_gradient, shift_gradient, running_mean, running_variance;
};

struct Inputs {
  std::vector<float> input, residual, gradient, scale, shift, running_mean, running_variance;
  explicit Inputs(const Case& test, float mean = 0.3F, float deviation = 1)
      : input(random_values(test.batch * test.spec.input.elements(), 1, mean, deviation)),
        residual(random_values(test.batch * test.spec.output.elements(), 2)),
        gradient(random_values(test.batch * test.spec.output.elements(), 3)),
        scale(random_values(test.spec.input.channels, 4, 1, 0.3F)),
        shift(random_values(test.spec.input.channels, 5)),
        running_mean(random_values(test.spec.input.channels, 6)),
        running_variance(test.spec.input.channels, 0.7F) {}
};

Results run(const Case& test, const Inputs& inputs, const Context& context, Mode mode = Mode::train) {
  const EpilogueSpec& spec = test.spec;
  const auto operation = plan_epilogue(spec, test.batch, mode, context);
  const Needs needs = operation->needs();
  Tensor input(context, test.batch, spec.input), output(context, test.batch, spec.output);
  Tensor residual = output, gradient = output, residual_gradient = output, input_gradient = input;
  input.fill(inputs.input);
  residual.fill(inputs.residual);
  gradient.fill(inputs.gradient);
  EXPECT_EQ(needs.output, output.bytes.size());
  std::vector<std::byte> saved(needs.saved, std::byte{0x7F}), workspace(needs.workspace, std::byte{0x7F});
  std::vector<float> scale_gradient(spec.input.channels, NAN), shift_gradient = scale_gradient;
  std::vector<float> running_mean = inputs.running_mean, running_variance = inputs.running_variance;

  Operands operands;
  operands.input = input.bytes.data();
  operands.residual = spec.residual ? residual.bytes.data() : nullptr;
  operands.output = output.bytes.data();
  operands.saved = saved.data();
  operands.workspace = workspace.data();
  operands.weights = inputs.scale.data();
  operands.bias = inputs.shift.data();
  operands.running_mean = running_mean.data();
  operands.running_variance = running_variance.data();
  operation->forward(operands);
  EXPECT_TRUE(output.padding_is_zero());
  Results results;
  results.output = output.values();
  results.running_mean.assign(running_mean.begin(), running_mean.end());
  results.running_variance.assign(running_variance.begin(), running_variance.end());
  if (mode == Mode::evaluate) return results;

  // What the plan says that backward does not read, and what lies in the workspace, is overwritten before it.
  if (!needs.backward_reads_input) std::fill(input.bytes.begin(), input.bytes.end(), std::byte{0x7F});
  if (!needs.backward_reads_output) std::fill(output.bytes.begin(), output.bytes.end(), std::byte{0x7F});
  std::fill(residual.bytes.begin(), residual.bytes.end(), std::byte{0x7F});
  const auto spoil_workspace = [&] { std::fill(workspace.begin(), workspace.end(), std::byte{0x7F}); };
  spoil_workspace();
  operands.output_gradient = gradient.bytes.data();
  operands.input_gradient = input_gradient.bytes.data();
  operands.residual_gradient = spec.residual ? residual_gradient.bytes.data() : nullptr;
  operands.weights_gradient = scale_gradient.data();
  operands.bias_gradient = shift_gradient.data();
  operation->backward_begin(operands);
  spoil_workspace();
  operation->backward_weights(operands);
  operation->backward_data(operands);
  EXPECT_TRUE(input_gradient.padding_is_zero());
  results.input_gradient = input_gradient.values();
  if (spec.residual) results.residual_gradient = residual_gradient.values();
  if (spec.normalise) {
    results.scale_gradient.assign(scale_gradient.begin(), scale_gradient.end());
    results.shift_gradient.assign(shift_gradient.begin(), shift_gradient.end());
  }
  return results;
}

Results reference(const Case& test, const Inputs& inputs, Mode mode = Mode::train) {
  const EpilogueSpec& spec = test.spec;
  const int channels = spec.input.channels, height = spec.output.height, width = spec.output.width;
  const int samples = test.batch;
  const std::size_t pixels = std::size_t(height) * width, count = samples * pixels * channels;
  std::vector<double> pooled(count), normalised(count), before(count), gradient(count), pooled_gradient(count);
  std::vector<std::size_t> from(count);
  Results results;
  for (std::size_t i = 0; i < count; ++i) {
    const int c = static_cast<int>(i % channels), x = static_cast<int>(i / channels % width);
    const int y = static_cast<int>(i / channels / width % height), n = static_cast<int>(i / channels / pixels);
    double best = -INFINITY;
    for (int row = 0; row < spec.pool; ++row)
      for (int column = 0; column < spec.pool; ++column) {
        const std::size_t at =
            ((std::size_t(n) * spec.input.height + y * spec.pool + row) * spec.input.width + x * spec.pool + column) *
                channels +
            c;
        if (static_cast<double>(inputs.input[at]) > best) {
          best = inputs.input[at];
          from[i] = at;
        }
      }
    pooled[i] = best;
  }
  const int group_size = spec.group_size > 0 && mode == Mode::train ? spec.group_size : samples;
  const int groups = (samples + group_size - 1) / group_size;
  const auto each_of = [&](int group, int channel, auto body) {
    const int end = std::min(samples, (group + 1) * group_size);
    for (std::size_t p = group * group_size * pixels; p < end * pixels; ++p) body(p * channels + channel);
    return static_cast<double>((end - group * group_size) * pixels);
  };
  results.running_mean.assign(inputs.running_mean.begin(), inputs.running_mean.end());
  results.running_variance.assign(inputs.running_variance.begin(), inputs.running_variance.end());
  results.scale_gradient.assign(channels, 0);
  results.shift_gradient.assign(channels, 0);
  results.input_gradient.assign(inputs.input.size(), 0);
  for (int c = 0; c < channels; ++c) {
    double new_mean = 0, new_variance = 0;
    for (int group = 0; group < groups; ++group) {
      double mean = 0, variance = 0, inverse = 1, scale = 1, shift = 0;
      if (spec.normalise) {
        scale = inputs.scale[c];
        shift = inputs.shift[c];
        double sum = 0, squares = 0;
        const double n = each_of(group, c, [&](std::size_t i) { sum += pooled[i]; });
        mean = sum / n;
        each_of(group, c, [&](std::size_t i) { squares += (pooled[i] - mean) * (pooled[i] - mean); });
        variance = squares / n;
        new_mean += mean / groups;
        new_variance += squares / (n - 1) / groups;
        if (mode == Mode::evaluate) mean = inputs.running_mean[c], variance = inputs.running_variance[c];
        inverse = 1 / std::sqrt(variance + static_cast<double>(spec.epsilon));
      }
      double sum = 0, product = 0;
      const double n = each_of(group, c, [&](std::size_t i) {
        normalised[i] = (pooled[i] - mean) * inverse;
        before[i] = normalised[i] * scale + shift;
        if (spec.residual) before[i] += static_cast<double>(inputs.residual[i]);
        gradient[i] = static_cast<double>(inputs.gradient[i]) * derivative(spec.activation, before[i]);
        sum += gradient[i];
        product += gradient[i] * normalised[i];
      });
      results.scale_gradient[c] += product;
      results.shift_gradient[c] += sum;
      each_of(group, c, [&](std::size_t i) {
        pooled_gradient[i] =
            spec.normalise ? scale * inverse * (gradient[i] - sum / n - normalised[i] * product / n) : gradient[i];
        results.input_gradient[from[i]] = pooled_gradient[i];
      });
    }
    if (spec.normalise && mode == Mode::train) {
      const double share = static_cast<double>(spec.statistics_momentum);
      results.running_mean[c] += share * (new_mean - results.running_mean[c]);
      results.running_variance[c] += share * (new_variance - results.running_variance[c]);
    }
  }
  for (const double value : before) results.output.push_back(activate(spec.activation, value));
  if (spec.residual) results.residual_gradient = gradient;
  if (!spec.normalise) results.scale_gradient.clear(), results.shift_gradient.clear();
  return results;
}

void expect_results(const Results& found, const Results& expected, double tolerance) {
  expect_near(found.output, expected.output, tolerance, "output");
  expect_near(found.running_mean, expected.running_mean, tolerance, "running mean");
  expect_near(found.running_variance, expected.running_variance, tolerance, "running variance");
  if (found.input_gradient.empty()) return;
  expect_near(found.input_gradient, expected.input_gradient, tolerance, "input gradient");
  expect_near(found.residual_gradient, expected.residual_gradient, tolerance, "residual gradient");
  expect_near(found.scale_gradient, expected.scale_gradient, tolerance, "scale gradient");
  expect_near(found.shift_gradient, expected.shift_gradient, tolerance, "shift gradient");
}

std::vector<Case> cases() {
  std::vector<Case> result;
  for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu, Activation::silu}) {
    for (const bool normalise : {false, true}) {
      for (const bool residual : {false, true}) {
        result.push_back({spec_of({6, 7, 16}, 1, normalise, residual, activation), 5});
        result.push_back({spec_of({9, 7, 16}, 2, normalise, residual, activation), 5});
        result.push_back({spec_of({7, 6, 3}, 3, normalise, residual, activation, 2), 5});   // plain, groups
        result.push_back({spec_of({4, 4, 20}, 2, normalise, residual, activation, 3), 7});  // padded channels
        result.push_back({spec_of({2, 3, 20}, 2, normalise, residual, activation), 7});     // blocked to plain
        result.push_back({spec_of({1, 1, 13}, 1, normalise, residual, activation), 9});     // vectors
      }
    }
  }
  return result;
}

using CpuEpilogueKernels = CpuKernels;

TEST_P(CpuEpilogueKernels, epilogues_match_double_precision_loops) {
  for (const Case& test : cases()) {
    const Inputs inputs(test);
    const Results expected = reference(test, inputs);
    for (const int block : {8, 16, kChannelsLast}) {
      SCOPED_TRACE(testing::Message() << "block " << block << " channels " << test.spec.input.channels << " pool "
                                      << test.spec.pool << " normalise " << test.spec.normalise << " residual "
                                      << test.spec.residual << " activation " << int(test.spec.activation));
      // fp32 throughout; differences of like numbers in the normalisation's gradient.
      expect_results(run(test, inputs, context_for(kernels(), block, 2)), expected, 3e-6);
    }
  }
}

TEST_P(CpuEpilogueKernels, epilogues_in_evaluation_use_the_running_statistics_and_leave_them) {
  for (const Case& test : cases()) {
    const Inputs inputs(test);
    expect_results(run(test, inputs, context_for(kernels(), 8, 2), Mode::evaluate),
                   reference(test, inputs, Mode::evaluate), 2e-6);
  }
}

TEST_P(CpuEpilogueKernels, epilogues_in_bf16_round_only_what_they_store) {
  for (const Case& test : cases()) {
    const Inputs inputs(test);
    const Results expected = reference(test, inputs);
    // Eight bits of mantissa: the gradient before the activation, a saved pre-activation and the result are rounded.
    for (const int block : {8, kChannelsLast}) {
      expect_results(run(test, inputs, context_for(kernels(), block, 2, DType::bf16)), expected, 1.2e-2);
    }
  }
}

TEST_P(CpuEpilogueKernels, statistics_keep_their_digits_where_the_mean_is_far_larger_than_the_deviation) {
  Case test{spec_of({16, 16, 8}, 1, true, false, Activation::none), 32};
  test.spec.statistics_momentum = 1;
  Inputs inputs(test);
  std::mt19937 generator(7);
  std::normal_distribution<float> normal(1000, 0.5F);
  for (float& value : inputs.input) value = normal(generator);
  const Results found = run(test, inputs, context_for(kernels(), 8, 2)), expected = reference(test, inputs);
  for (int channel = 0; channel < 8; ++channel) {
    EXPECT_NEAR(found.running_mean[channel] / expected.running_mean[channel], 1, 1e-7);
    EXPECT_NEAR(found.running_variance[channel] / expected.running_variance[channel], 1, 1e-6);
  }
}

TEST_P(CpuEpilogueKernels, epilogues_give_the_same_bits_for_any_number_of_threads) {
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const Case& test : {Case{spec_of({30, 30, 16}, 2, true, true, Activation::gelu, 20), 64},
                             Case{spec_of({12, 12, 24}, 1, true, false, Activation::relu), 65}}) {
      const Inputs inputs(test);
      const Results one = run(test, inputs, context_for(kernels(), 8, 1, type));
      for (const int threads : {2, 3}) {
        const Results more = run(test, inputs, context_for(kernels(), 8, threads, type));
        EXPECT_EQ(one.output, more.output);
        EXPECT_EQ(one.input_gradient, more.input_gradient);
        EXPECT_EQ(one.residual_gradient, more.residual_gradient);
        EXPECT_EQ(one.scale_gradient, more.scale_gradient);
        EXPECT_EQ(one.shift_gradient, more.shift_gradient);
        EXPECT_EQ(one.running_mean, more.running_mean);
        EXPECT_EQ(one.running_variance, more.running_variance);
      }
    }
  }
}

// An activation alone on a row of values.
std::vector<double> activated(const Kernels& kernels, Activation activation, const std::vector<float>& values,
                              bool backward) {
  const Case test{spec_of({1, static_cast<int>(values.size()) / 8, 8}, 1, false, false, activation), 1};
  Inputs inputs(test);
  inputs.input = values;
  std::fill(inputs.gradient.begin(), inputs.gradient.end(), 1.0F);
  const Results results = run(test, inputs, context_for(kernels, 8, 1));
  return backward ? results.input_gradient : results.output;
}

std::vector<float> sweep(float first, float last, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = first + (last - first) * static_cast<float>(i) / static_cast<float>(count - 1);
  }
  return values;
}

TEST_P(CpuEpilogueKernels, gelu_holds_the_normal_distribution_within_2e_7_of_libm) {
  const std::vector<float> x = sweep(-12, 12, 1 << 18);
  const std::vector<double> gelu = activated(kernels(), Activation::gelu, x, false);
  const std::vector<double> slope = activated(kernels(), Activation::gelu, x, true);
  double worst_cumulative = 0, worst_slope = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = x[i];
    if (exact == 0) continue;
    worst_cumulative = std::max(worst_cumulative, std::abs(gelu[i] / exact - 0.5 * std::erfc(-exact / std::sqrt(2.0))));
    worst_slope = std::max(worst_slope, std::abs(slope[i] - derivative(Activation::gelu, exact)));
  }
  EXPECT_LE(worst_cumulative, 2e-7);
  EXPECT_LE(worst_slope, 3e-7);  // two terms, rounded at magnitudes up to 1.1
}

TEST_P(CpuEpilogueKernels, exp_as_silu_holds_it_is_within_a_few_units_of_libm) {
  const std::vector<float> x = sweep(-80, 80, 1 << 18);
  const std::vector<double> silu = activated(kernels(), Activation::silu, x, false);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = activate(Activation::silu, x[i]);
    if (exact != 0) worst = std::max(worst, std::abs(silu[i] / exact - 1));
  }
  EXPECT_LE(worst, 4 * 0x1p-24 * 1.01);  // exp two units, the sum, the division and the product half a unit each
}

TEST_P(CpuEpilogueKernels, activations_keep_infinities_and_not_a_number) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Activation activation : {Activation::relu, Activation::gelu, Activation::silu}) {
    const std::vector<double> found = activated(kernels(), activation, {NAN, infinity, 100, -100, 0, 1, 2, 3}, false);
    EXPECT_TRUE(std::isnan(found[0]));
    EXPECT_EQ(found[1], INFINITY);
    EXPECT_EQ(found[2], 100);
    EXPECT_NEAR(found[3], 0, 1e-36);
  }
}

INSTANTIATE_TEST_SUITE_P(instruction_sets, CpuEpilogueKernels,
                         testing::Range(0, static_cast<int>(runnable_kernels().size())),
                         [](const auto& row) { return std::string(runnable_kernels()[row.param].isa); });

}  // namespace
}  // namespace convoy::cpu
