// The CPU's pooling loops of every instruction set that this processor can run, against double-precision loops.
// needs: oneDNN
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/cpu_kernels.hpp"

namespace convoy::cpu {
namespace {

PoolSpec pool_of(PoolSpec::Kind kind, Extent input, int kernel, int stride, int padding) {
  PoolSpec spec;
  spec.kind = kind;
  spec.input = input;
  spec.kernel = {kernel, kernel};
  spec.stride = {stride, stride};
  spec.padding = {padding, padding, padding, padding};
  spec.output = {(input.height + 2 * padding - kernel) / stride + 1, (input.width + 2 * padding - kernel) / stride + 1,
                 input.channels};
  return spec;
}

void check_pool(const Kernels& kernels, const PoolSpec& spec, int block, DType type) {
  const int batch = 3, channels = spec.input.channels;
  const Context context = context_for(kernels, block, 2, type);
  Tensor input(context, batch, spec.input), output(context, batch, spec.output);
  Tensor gradient = output, input_gradient = input;
  const std::vector<float> values = random_values(batch * spec.input.elements(), 11);
  const std::vector<float> gradients = random_values(batch * spec.output.elements(), 12);
  input.fill(values);
  gradient.fill(gradients);
  const auto operation = plan_pool(spec, batch, Mode::train, context);
  std::vector<std::byte> saved(operation->needs().saved);
  Operands operands;
  operands.input = input.bytes.data();
  operands.output = output.bytes.data();
  operands.saved = saved.data();
  operands.output_gradient = gradient.bytes.data();
  operands.input_gradient = input_gradient.bytes.data();
  operation->forward(operands);
  operation->backward_data(operands);

  std::vector<double> expected, expected_gradient(values.size());
  for (int n = 0; n < batch; ++n)
    for (int oy = 0; oy < spec.output.height; ++oy)
      for (int ox = 0; ox < spec.output.width; ++ox)
        for (int c = 0; c < channels; ++c) {
          std::vector<std::size_t> window;
          for (int y = oy * spec.stride.height - spec.padding.top, row = 0; row < spec.kernel.height; ++row, ++y)
            for (int x = ox * spec.stride.width - spec.padding.left, column = 0; column < spec.kernel.width;
                 ++column, ++x)
              if (y >= 0 && x >= 0 && y < spec.input.height && x < spec.input.width)
                window.push_back(((std::size_t(n) * spec.input.height + y) * spec.input.width + x) * channels + c);
          const double upstream = gradients[expected.size()];
          if (spec.kind == PoolSpec::Kind::max) {
            const std::size_t best =
                *std::max_element(window.begin(), window.end(), [&](auto a, auto b) { return values[a] < values[b]; });
            expected.push_back(values[best]);
            expected_gradient[best] += upstream;
          } else {
            double sum = 0;
            for (const std::size_t at : window) sum += values[at];
            for (const std::size_t at : window) expected_gradient[at] += upstream / static_cast<double>(window.size());
            expected.push_back(sum / static_cast<double>(window.size()));
          }
        }
  // fp32 sums of at most some hundred terms; bf16 rounds what it stores.
  const double tolerance = type == DType::f32 ? 1e-6 : 4e-3;
  expect_near(output.values(), expected, tolerance, "output");
  expect_near(input_gradient.values(), expected_gradient, tolerance, "input gradient");
  EXPECT_TRUE(output.padding_is_zero());
  EXPECT_TRUE(input_gradient.padding_is_zero());
}

using CpuPoolKernels = CpuKernels;

TEST_P(CpuPoolKernels, pooling_of_any_window_matches_double_precision_loops) {
  for (const auto kind : {PoolSpec::Kind::max, PoolSpec::Kind::average}) {
    for (const int channels : {3, 16, 20}) {
      for (const int block : {8, 16, kChannelsLast}) {
        for (const DType type : {DType::f32, DType::bf16}) {
          check_pool(kernels(), pool_of(kind, {7, 9, channels}, 3, 2, 1), block, type);
          check_pool(kernels(), pool_of(kind, {8, 8, channels}, 2, 2, 0), block, type);
          check_pool(kernels(), pool_of(kind, {9, 7, channels}, 3, 1, 2), block, type);
          check_pool(kernels(), pool_of(kind, {6, 6, channels}, 6, 1, 0), block, type);
        }
      }
    }
  }
}

TEST_P(CpuPoolKernels, max_pooling_prefers_the_first_of_equals_and_keeps_not_a_number) {
  const Context context = context_for(kernels(), 8, 1);
  EpilogueSpec epilogue = spec_of({2, 4, 8}, 2, false, false, Activation::none);
  const PoolSpec pool = pool_of(PoolSpec::Kind::max, epilogue.input, 2, 2, 0);
  for (const auto& operation :
       {plan_epilogue(epilogue, 1, Mode::train, context), plan_pool(pool, 1, Mode::train, context)}) {
    Tensor input(context, 1, epilogue.input), output(context, 1, epilogue.output);
    Tensor gradient = output, input_gradient = input;
    std::vector<float> values(64, 1.0F);
    values[3 * 8] = NAN;  // row 0, column 3: in the second window
    input.fill(values);
    gradient.fill(std::vector<float>(16, 1.0F));
    std::vector<std::byte> saved(operation->needs().saved);
    Operands operands;
    operands.input = input.bytes.data();
    operands.output = output.bytes.data();
    operands.saved = saved.data();
    operands.output_gradient = gradient.bytes.data();
    operands.input_gradient = input_gradient.bytes.data();
    operation->forward(operands);
    operation->backward_begin(operands);
    operation->backward_data(operands);
    EXPECT_EQ(output.values()[0], 1);
    EXPECT_TRUE(std::isnan(output.values()[8]));
    EXPECT_EQ(input_gradient.values()[0], 1);
    EXPECT_EQ(input_gradient.values()[8], 0);
    EXPECT_EQ(input_gradient.values()[2 * 8], 0);
    EXPECT_EQ(input_gradient.values()[3 * 8], 1);
  }
}

INSTANTIATE_TEST_SUITE_P(instruction_sets, CpuPoolKernels,
                         testing::Range(0, static_cast<int>(runnable_kernels().size())),
                         [](const auto& row) { return std::string(runnable_kernels()[row.param].isa); });

}  // namespace
}  // namespace convoy::cpu
