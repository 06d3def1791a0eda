// Operations in shapes drawn by lot, on every backend against the double-precision loops: with many rows and any number
// of channels, where kernels take several blocks and leave some over. CONVOY_TEST_DRAWS=N draws N of each kind, other
// ones with CONVOY_TEST_SEED.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>

#include "support/operation_fixture.hpp"

namespace convoy::test {
namespace {

const BackendCase kCases[] = {
    {"cpu", Precision::fp32, 2e-5, "fp32 sums of up to 20,000 terms"},
    {"cpu", Precision::bf16, 8e-3, "results, and what lies between passes, rounded to 8 bits of mantissa"},
    {"cuda", Precision::fp32, 2e-5, "fp32 sums of up to 20,000 terms"},
    {"cuda", Precision::bf16, 8e-3, "bias and results rounded to 8 bits of mantissa, 2^-8 each"},
    {"cuda", Precision::fp16, 1e-3, "bias and results rounded to 11 bits of mantissa, 2^-11 each"},
};

constexpr int kDraws = 12;
constexpr std::int64_t kMostElements = 120'000;    // of an activation
constexpr std::int64_t kMostProducts = 8'000'000;  // of a pass: the loops take their time

int number_in(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::atoi(text);
}

// An operation and its batch.
struct Drawn {
  OperationSpec spec;
  int batch = 1;
};

class Lot {
 public:
  explicit Lot(unsigned seed) : generator_(seed) {}

  Drawn convolution();
  Drawn epilogue();
  Drawn pool();
  Drawn dense();
  Drawn dropout();

 private:
  int draw(int least, int most) { return std::uniform_int_distribution<int>(least, most)(generator_); }
  bool coin() { return draw(0, 1) == 1; }
  // As many fill accesses of 16 bytes in one type or in all as fill none.
  int channels(int most) {
    const int unit = 1 << draw(0, 4);
    return unit * draw(1, std::max(1, most / unit));
  }
  Extent extent() { return {draw(1, 24), draw(1, 24), channels(coin() ? 48 : 300)}; }
  int batch(const Extent& largest, std::int64_t most_elements = kMostElements) {
    return static_cast<int>(std::clamp<std::int64_t>(most_elements / largest.elements(), 1, draw(1, 200)));
  }

  std::mt19937 generator_;
};

Drawn Lot::convolution() {
  ConvSpec spec;
  spec.input = extent();
  spec.input.channels = channels(64);
  spec.kernel = {draw(1, 5), draw(1, 5)};
  spec.stride = {draw(1, 2), draw(1, 2)};
  const int rows = draw(0, 2), columns = draw(0, 2);
  spec.padding = {rows + draw(0, 1), rows, columns, columns + draw(0, 1)};
  spec.kernel.height = std::min(spec.kernel.height, spec.input.height + spec.padding.top + spec.padding.bottom);
  spec.kernel.width = std::min(spec.kernel.width, spec.input.width + spec.padding.left + spec.padding.right);
  spec.output = windows_over(spec.input, spec.kernel, spec.stride, spec.padding, channels(64));
  spec.bias = coin();
  if (coin()) spec.activation = Activation::relu;
  const Extent products = {spec.output.height * spec.kernel.height, spec.output.width * spec.kernel.width,
                           spec.output.channels * spec.input.channels};
  return {spec, std::min(batch(products, kMostProducts), batch({spec.input.height, spec.input.width, 64}))};
}

Drawn Lot::epilogue() {
  EpilogueSpec spec;
  spec.input = extent();
  spec.pool = std::min({draw(1, 3), spec.input.height, spec.input.width});
  spec.output = {spec.input.height / spec.pool, spec.input.width / spec.pool, spec.input.channels};
  spec.normalise = coin();
  spec.residual = coin();
  spec.activation = static_cast<Activation>(draw(0, 3));
  const int batch = std::max(2, this->batch(spec.input));
  if (spec.normalise && coin()) spec.group_size = draw(2, batch);
  return {spec, batch};
}

Drawn Lot::pool() {
  PoolSpec spec;
  spec.kind = coin() ? PoolSpec::Kind::max : PoolSpec::Kind::average;
  spec.input = extent();
  spec.kernel = {draw(1, std::min(4, spec.input.height)), draw(1, std::min(4, spec.input.width))};
  spec.stride = {draw(1, 3), draw(1, 3)};
  spec.padding = {draw(0, spec.kernel.height - 1), 0, 0, draw(0, spec.kernel.width - 1)};
  spec.output = windows_over(spec.input, spec.kernel, spec.stride, spec.padding, spec.input.channels);
  return {spec, batch(spec.input)};
}

Drawn Lot::dense() {
  DenseSpec spec;
  spec.input = {draw(1, 4), draw(1, 4), channels(64)};
  spec.outputs = channels(300);
  spec.bias = coin();
  if (coin()) spec.activation = Activation::relu;
  const Extent products = {1, spec.outputs, static_cast<int>(spec.input.elements())};
  return {spec, batch(products, kMostProducts)};
}

Drawn Lot::dropout() {
  DropoutSpec spec;
  spec.input = extent();
  spec.rate = 0.1F * static_cast<float>(draw(0, 9));
  spec.salt = static_cast<std::uint32_t>(draw(0, 1000));
  return {spec, batch(spec.input)};
}

class DrawnShapes : public OnBackend {
 protected:
  void expect_all_match(Drawn (Lot::*draw)()) {
    Lot lot(static_cast<unsigned>(number_in("CONVOY_TEST_SEED", 1)));
    const int draws = number_in("CONVOY_TEST_DRAWS", kDraws);
    for (int i = 0; i < draws; ++i) {
      const auto [spec, batch] = (lot.*draw)();
      const OperationShape shape = shape_of(spec);
      SCOPED_TRACE(fmt::format("draw {}: {} images {}x{}x{} -> {}x{}x{}", i, batch, shape.input.height,
                               shape.input.width, shape.input.channels, shape.output.height, shape.output.width,
                               shape.output.channels));
      expect_matches(spec, batch);
      if (HasFatalFailure()) return;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, DrawnShapes, testing::ValuesIn(kCases), case_name);

TEST_P(DrawnShapes, of_convolutions_match) { expect_all_match(&Lot::convolution); }
TEST_P(DrawnShapes, of_epilogues_match) { expect_all_match(&Lot::epilogue); }
TEST_P(DrawnShapes, of_pools_match) { expect_all_match(&Lot::pool); }
TEST_P(DrawnShapes, of_dense_layers_match) { expect_all_match(&Lot::dense); }
TEST_P(DrawnShapes, of_dropouts_match) { expect_all_match(&Lot::dropout); }

}  // namespace
}  // namespace convoy::test
