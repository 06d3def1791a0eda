// The CPU's dropout loops of every instruction set that this processor can run, against the specification's random
// bits; and which instruction set is chosen.
// needs: oneDNN
#include "support/cpu_kernels.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "convoy/error.hpp"
#include "convoy/philox.hpp"
#include "cpu/backend.hpp"

namespace convoy::cpu {
namespace {

using CpuDropoutKernels = CpuKernels;

TEST_P(CpuDropoutKernels, dropout_masks_are_the_bits_that_the_specification_names) {
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const Extent extent : {Extent{1, 1, 128}, Extent{5, 7, 20}, Extent{9, 9, 3}}) {
      const Context context = context_for(kernels(), 8, 2, type);
      const DropoutSpec spec{extent, 0.3F, 5, true};
      const int batch = 4;
      const auto operation = plan_dropout(spec, batch, Mode::train, context);
      Tensor input(context, batch, extent), output = input, gradient = input, input_gradient = input;
      const std::vector<float> values = random_values(batch * extent.elements(), 21);
      input.fill(values);
      gradient.fill(values);
      StepRow row;
      row.seed = 0x123456789ABCDEFULL;
      row.epoch = 3;
      row.first = 2;
      row.count = 3;
      const std::int32_t order[] = {9, 8, 49999, 7, 123, -1};
      Operands operands;
      operands.input = input.bytes.data();
      operands.output = output.bytes.data();
      operands.output_gradient = gradient.bytes.data();
      operands.input_gradient = input_gradient.bytes.data();
      operands.row = &row;
      operands.order = order;
      operation->forward(operands);
      operation->backward_data(operands);
      const std::vector<double> found = output.values(), found_gradient = input_gradient.values();
      const float scale = 1.0F / (1.0F - spec.rate);
      for (int p = 0; p < row.count; ++p) {
        for (std::int64_t e = 0; e < extent.elements(); ++e) {
          const Random4 bits =
              random_bits(row.seed, Purpose::dropout, 3, (std::uint64_t(order[2 + p]) << 22) + e / 4, 5);
          const std::uint32_t words[] = {bits.x, bits.y, bits.z, bits.w};
          const std::size_t at = p * extent.elements() + e;
          const float kept = values[at] * scale;
          const float expected =
              uniform(words[e % 4]) >= spec.rate ? type == DType::f32 ? kept : from_bf16(to_bf16(kept)) : 0;
          ASSERT_EQ(found[at], static_cast<double>(expected)) << "position " << p << " element " << e;
          ASSERT_EQ(found_gradient[at], static_cast<double>(expected));
        }
      }
      EXPECT_TRUE(output.padding_is_zero());
      // In evaluation nothing is dropped.
      plan_dropout(spec, batch, Mode::evaluate, context)->forward(operands);
      EXPECT_EQ(output.values(), input.values());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(instruction_sets, CpuDropoutKernels,
                         testing::Range(0, static_cast<int>(runnable_kernels().size())),
                         [](const auto& row) { return std::string(runnable_kernels()[row.param].isa); });

TEST(CpuBackend, names_no_instructions_of_another_processor) {
  const std::string libraries = make_cpu_backend({})->info().libraries;
  const bool is_named = libraries.find("avx") != std::string::npos || libraries.find("sse") != std::string::npos;
#if defined(__x86_64__)
  EXPECT_TRUE(is_named) << libraries;
#else
  EXPECT_FALSE(is_named) << libraries;
#endif
}

TEST(SelectKernels, an_unknown_instruction_set_is_named) {
  setenv("CONVOY_CPU_ISA", "mmx", 1);
  try {
    select_kernels();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("'mmx'"), std::string::npos);
  }
  setenv("CONVOY_CPU_ISA", "baseline", 1);
  EXPECT_EQ(select_kernels().isa, "baseline");
  unsetenv("CONVOY_CPU_ISA");
  EXPECT_EQ(&select_kernels(), &runnable_kernels().back());
}

}  // namespace
}  // namespace convoy::cpu
