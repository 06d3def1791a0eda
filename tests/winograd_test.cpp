// Where the CPU backend takes Winograd's convolution, and that it agrees with the direct one.
// needs: oneDNN
#include "cpu/winograd.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "convoy/error.hpp"
#include "cpu/backend.hpp"
#include "support/operation_fixture.hpp"

namespace convoy::test {
namespace {

using cpu::is_winograd_faster;
using cpu::Pass;
using testing::HasSubstr;
using testing::Not;

// Same padding, so that input and output have as many tiles.
ConvSpec spec_of(int side, int inputs, int outputs, Size2 kernel = {3, 3}) {
  ConvSpec spec;
  spec.input = {side, side, inputs};
  spec.output = {side, side, outputs};
  spec.kernel = kernel;
  spec.padding = {kernel.height / 2, kernel.height / 2, kernel.width / 2, kernel.width / 2};
  return spec;
}

ConvSpec large_spec() { return spec_of(15, 64, 256); }

TEST(Winograd, is_faster_for_whole_tiles_and_many_of_them) {
  const cpu::Context context;
  for (const Pass pass : {Pass::forward, Pass::backward_data, Pass::backward_weights}) {
    EXPECT_TRUE(is_winograd_faster(spec_of(16, 128, 128), 8, pass, context));
    EXPECT_TRUE(is_winograd_faster(spec_of(7, 256, 256), 64, pass, context));
    EXPECT_FALSE(is_winograd_faster(spec_of(7, 256, 256), 2, pass, context)) << "the filters' transform";
    EXPECT_FALSE(is_winograd_faster(spec_of(1, 256, 256), 512, pass, context)) << "15 of 16 outputs unused";
    EXPECT_FALSE(is_winograd_faster(spec_of(16, 16, 128), 64, pass, context)) << "few channels";
    EXPECT_FALSE(is_winograd_faster(spec_of(16, 128, 128, {5, 5}), 64, pass, context));
    EXPECT_FALSE(is_winograd_faster(spec_of(16, 128, 128, {3, 1}), 64, pass, context));
  }
  EXPECT_FALSE(is_winograd_faster(spec_of(3, 256, 256), 64, Pass::forward, context));
  EXPECT_TRUE(is_winograd_faster(spec_of(3, 256, 256), 64, Pass::backward_weights, context))
      << "where the direct convolution is slower";
}

TEST(Winograd, is_for_fp32_and_steps_of_one_pixel) {
  cpu::Context context;
  ConvSpec spec = spec_of(16, 128, 128);
  context.compute = DType::bf16;
  EXPECT_FALSE(is_winograd_faster(spec, 64, Pass::forward, context));
  context.compute = DType::f32;
  EXPECT_TRUE(is_winograd_faster(spec, 64, Pass::forward, context));
  context.winograd = false;
  EXPECT_FALSE(is_winograd_faster(spec, 64, Pass::forward, context));
  context.winograd = true;
  spec.stride = {2, 2};
  EXPECT_FALSE(is_winograd_faster(spec, 64, Pass::forward, context));
}

// Of valid convolutions the input has more tiles than the output.
TEST(Winograd, counts_the_tiles_of_what_a_pass_writes) {
  const cpu::Context context;
  ConvSpec spec = spec_of(6, 64, 128);
  spec.padding = {};
  spec.output = {4, 4, 128};
  EXPECT_TRUE(is_winograd_faster(spec, 64, Pass::forward, context));
  EXPECT_FALSE(is_winograd_faster(spec, 512, Pass::backward_data, context)) << "28 of 64 inputs of its tiles unused";
  EXPECT_TRUE(is_winograd_faster(spec, 64, Pass::backward_weights, context));
}

// oneDNN 2.6 takes such convolutions, and gets the gradient of the input wrong.
TEST(Winograd, is_not_for_padding_on_one_side) {
  const cpu::Context context;
  ConvSpec spec = spec_of(16, 128, 128);
  for (const Padding padding : {Padding{0, 1, 1, 1}, Padding{1, 1, 1, 0}, Padding{2, 2, 1, 1}}) {
    spec.padding = padding;
    EXPECT_FALSE(is_winograd_faster(spec, 64, Pass::backward_data, context));
  }
}

class WinogradOnCpu : public testing::Test {
 protected:
  ~WinogradOnCpu() override { unsetenv("CONVOY_CPU_WINOGRAD"); }

  static std::unique_ptr<Backend> backend_with(const char* wish) {
    setenv("CONVOY_CPU_WINOGRAD", wish, 1);
    return make_cpu_backend({.threads = 2});  // with one oneDNN may take parts of any batch
  }
  static std::string implementation(const char* wish, const ConvSpec& spec, int batch, Mode mode = Mode::train) {
    return backend_with(wish)->plan(spec, batch, mode)->implementation();
  }
  // Each is off by as much as convolution_test.cpp allows.
  static constexpr double kTolerance = 6e-6;
  static void expect_equal(Backend& one, Backend& other, const ConvSpec& spec, int batch, double of_gradients) {
    const Tensors given = random_tensors(spec, batch, DType::f32);
    const Results expected = run_operation(one, spec, batch, Mode::train, given);
    const Results found = run_operation(other, spec, batch, Mode::train, given);
    const auto compare = [](const char* what, const std::vector<float>& a, const std::vector<float>& b, double limit) {
      expect_close(what, a, std::vector<double>(b.begin(), b.end()), limit);
    };
    compare("output", found.output, expected.output, kTolerance);
    compare("input gradient", found.input_gradient, expected.input_gradient, kTolerance);
    compare("weights gradient", found.weights_gradient, expected.weights_gradient, of_gradients);
    compare("bias gradient", found.bias_gradient, expected.bias_gradient, of_gradients);
  }
  // Where oneDNN has no such convolution: 3.2 and later, or without AVX-512.
  static bool is_missing() { return implementation("1", large_spec(), 64).find("wino") == std::string::npos; }
};

#define SKIP_WITHOUT_WINOGRAD() \
  if (is_missing()) GTEST_SKIP() << "this oneDNN has no Winograd convolution for this processor"

TEST_F(WinogradOnCpu, is_taken_by_itself_and_turned_off_by_a_variable) {
  SKIP_WITHOUT_WINOGRAD();
  EXPECT_THAT(implementation("", large_spec(), 64), HasSubstr("wino"));
  EXPECT_THAT(implementation("", large_spec(), 64, Mode::evaluate), HasSubstr("wino"));
  EXPECT_THAT(implementation("0", large_spec(), 64), Not(HasSubstr("wino")));
  EXPECT_THROW(backend_with("yes"), UsageError);
}

TEST_F(WinogradOnCpu, takes_a_large_batch_in_equal_parts_with_a_small_workspace) {
  SKIP_WITHOUT_WINOGRAD();
  constexpr int kBatch = 382;  // two parts of 191, a prime: of other batches oneDNN itself may take parts at a time
  ConvSpec spec = large_spec();
  spec.bias = true;
  const auto parted = backend_with("1"), direct = backend_with("0");
  const auto planned = parted->plan(spec, kBatch, Mode::train);
  EXPECT_THAT(planned->implementation(), HasSubstr("wino"));
  EXPECT_THAT(planned->implementation(), HasSubstr(" in 2 parts"));
  EXPECT_LE(planned->needs().workspace, std::size_t{260} << 20);
  EXPECT_EQ(planned->work().backward_flops, direct->plan(spec, kBatch, Mode::train)->work().backward_flops);

  // Gradients are sums over 85,950 pixels instead of 2,313 terms: off by the root of that as much.
  expect_equal(*direct, *parted, spec, kBatch, 6 * kTolerance);
}

// Whatever oneDNN does with them, the two algorithms agree.
TEST_F(WinogradOnCpu, agrees_with_the_direct_convolution_in_shapes_drawn_by_lot) {
  SKIP_WITHOUT_WINOGRAD();
  const auto direct = backend_with("0"), winograd = backend_with("1");
  std::mt19937 generator(1);
  const auto draw = [&](int least, int most) { return std::uniform_int_distribution<int>(least, most)(generator); };
  int compared = 0;
  for (int i = 0; i < 40; ++i) {
    ConvSpec spec = spec_of(0, 16 * draw(2, 6), 16 * draw(2, 6));
    const int rows = draw(0, 1), columns = draw(0, 1);
    spec.padding = {rows, rows, columns, columns};
    spec.input.height = draw(5, 18), spec.input.width = draw(5, 18);
    spec.output = windows_over(spec.input, spec.kernel, spec.stride, spec.padding, spec.output.channels);
    spec.bias = draw(0, 1) == 1;
    if (draw(0, 1) == 1) spec.activation = Activation::relu;
    const int batch = draw(1, 24);
    if (winograd->plan(spec, batch, Mode::train)->implementation().find("wino") == std::string::npos) continue;
    SCOPED_TRACE(fmt::format("{} images {}x{}x{} -> {}, padding {} and {}", batch, spec.input.height, spec.input.width,
                             spec.input.channels, spec.output.channels, rows, columns));
    expect_equal(*direct, *winograd, spec, batch, kTolerance);
    ++compared;
  }
  EXPECT_GE(compared, 10);
}

// 367 images are no two equal parts.
TEST_F(WinogradOnCpu, convolves_directly_where_a_large_batch_has_no_equal_parts) {
  EXPECT_THAT(implementation("1", large_spec(), 367), Not(HasSubstr("wino")));
}

}  // namespace
}  // namespace convoy::test
