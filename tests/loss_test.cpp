// Softmax cross-entropy against double-precision references, finite differences and PyTorch; its sums for any number
// of threads.
#include "cpu/loss.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "convoy/philox.hpp"
#include "support/cpu_contexts.hpp"

namespace convoy {
namespace {

using test::cpu_context;
using test::cpu_contexts;

struct Batch {
  int rows, classes;
  std::vector<float> logits;
  std::vector<std::int32_t> labels, order;  // sample order[first + p] lies at position p
  StepRow row;

  Batch(int row_count, int class_count, float spread)
      : rows(row_count), classes(class_count), logits(static_cast<std::size_t>(row_count) * class_count) {
    for (std::size_t i = 0; i < logits.size(); ++i) {
      logits[i] = spread * (2 * uniform(random_bits(5, Purpose::synthetic, 0, i).x) - 1);
    }
    for (int sample = 0; sample < rows + 10; ++sample) {
      labels.push_back(static_cast<int>(below(random_bits(6, Purpose::synthetic, 0, sample).x, classes)));
    }
    order.resize(labels.size());
    std::iota(order.begin(), order.end(), 0);
    std::reverse(order.begin(), order.end());
    row.first = 4;
    row.count = rows;
  }

  LossArgs arguments(LossSums* sums, void* gradient) const {
    LossArgs args;
    args.logits = logits.data();
    args.source.labels = labels.data();
    args.source.order = order.data();
    args.rows = rows;
    args.classes = classes;
    args.gradient = gradient;
    args.sums = sums;
    args.row = &row;
    return args;
  }
  int label(int position) const { return labels[static_cast<std::size_t>(order[row.first + position])]; }
};

// -sum_c target_c log softmax(scale * logits)_c of one row, all in double.
double reference_loss(const std::vector<double>& logits, int label, double scale, double smoothing) {
  double sum = 0, loss = 0;
  const double largest = *std::max_element(logits.begin(), logits.end());
  for (double z : logits) sum += std::exp(scale * (z - largest));
  for (std::size_t c = 0; c < logits.size(); ++c) {
    const double target =
        smoothing / static_cast<double>(logits.size()) + (static_cast<int>(c) == label ? 1 - smoothing : 0);
    loss -= target * (scale * (logits[c] - largest) - std::log(sum));
  }
  return loss;
}

std::vector<double> row_of(const Batch& batch, int position) {
  const auto begin = batch.logits.begin() + std::ptrdiff_t{position} * batch.classes;
  return {begin, begin + batch.classes};
}

struct Case {
  int rows, classes;
  float scale, smoothing, loss_weight, spread;
};

const Case kCases[] = {
    {1, 10, 1.0F, 0.0F, 1.0F, 2.0F},      {200, 10, 1.0F, 0.2F, 0.005F, 8.0F}, {64, 10, 1.0F / 256, 0.2F, 1.0F, 300.0F},
    {257, 100, 1.0F, 0.1F, 0.25F, 30.0F}, {33, 2, 2.0F, 0.0F, 3.0F, 1.0F},
};

class Loss : public ::testing::TestWithParam<Case> {};

TEST_P(Loss, sums_match_the_double_precision_reference) {
  const Case& c = GetParam();
  const Batch batch(c.rows, c.classes, c.spread);
  double expected = 0;
  int correct = 0;
  for (int p = 0; p < c.rows; ++p) {
    const std::vector<double> logits = row_of(batch, p);
    expected += reference_loss(logits, batch.label(p), c.scale, c.smoothing);
    correct += std::max_element(logits.begin(), logits.end()) - logits.begin() == batch.label(p) ? 1 : 0;
  }
  LossSums sums{.loss = 1000, .correct = 100, .samples = 10, .not_finite = 0};
  LossArgs args = batch.arguments(&sums, nullptr);
  args.logit_scale = c.scale;
  args.smoothing = c.smoothing;
  cpu::softmax_cross_entropy(args, cpu_context(cpu::select_kernels(), 2));
  // fp32 logits up to |scale * spread| = 30: each row's terms round at 30 * 2^-24.
  EXPECT_NEAR(sums.loss, 1000 + expected, 4e-6 * c.rows);
  EXPECT_EQ(sums.correct, 100 + correct);
  EXPECT_EQ(sums.samples, 10 + c.rows);
  EXPECT_EQ(sums.not_finite, 0);
}

TEST_P(Loss, gradient_is_the_slope_of_the_weighted_loss) {
  const Case& c = GetParam();
  Batch batch(c.rows, c.classes, c.spread);
  batch.row.loss_weight = c.loss_weight;
  LossSums sums;
  std::vector<float> gradient(batch.logits.size(), 99.0F);
  LossArgs args = batch.arguments(&sums, gradient.data());
  args.logit_scale = c.scale;
  args.smoothing = c.smoothing;
  cpu::softmax_cross_entropy(args, cpu_context(cpu::select_kernels(), 2));
  for (int p = 0; p < c.rows; ++p) {
    for (int k = 0; k < c.classes; ++k) {
      std::vector<double> up = row_of(batch, p), down = up;
      const double step = 1e-4 / c.scale;
      up[static_cast<std::size_t>(k)] += step;
      down[static_cast<std::size_t>(k)] -= step;
      const double slope = (reference_loss(up, batch.label(p), c.scale, c.smoothing) -
                            reference_loss(down, batch.label(p), c.scale, c.smoothing)) /
                           (2 * step);
      // exp of an fp32 difference of up to 60 is good to 60 * 2^-24 = 4e-6 of itself.
      EXPECT_NEAR(gradient[static_cast<std::size_t>(p * c.classes + k)], c.loss_weight * slope,
                  5e-6 * c.loss_weight * c.scale);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, Loss, ::testing::ValuesIn(kCases));

// torch.nn.functional.cross_entropy(x, torch.tensor([2, 1]), label_smoothing=0.2, reduction='sum').backward() for
// x = [[1.5, -0.25, 0.75], [-2, 0.5, 3]]; PyTorch 2 on a CPU.
TEST(LossGolden, equals_pytorch_with_label_smoothing) {
  Batch batch(2, 3, 0);
  batch.logits = {1.5F, -0.25F, 0.75F, -2.0F, 0.5F, 3.0F};
  batch.labels = {2, 1};
  batch.order = {0, 1};
  batch.row.first = 0;
  const float expected[] = {0.540814877F, 0.0388977826F, -0.579712749F, -0.0604783855F, -0.791277945F, 0.851756275F};
  LossSums sums;
  std::vector<float> gradient(6);
  LossArgs args = batch.arguments(&sums, gradient.data());
  args.smoothing = 0.2F;
  cpu::softmax_cross_entropy(args, cpu_context(cpu::select_kernels(), 1));
  EXPECT_NEAR(sums.loss, 3.8501975536346436, 5e-7);
  for (int i = 0; i < 6; ++i) EXPECT_NEAR(gradient[static_cast<std::size_t>(i)], expected[i], 1.2e-7) << i;
}

TEST(LossRows, padding_rows_have_gradient_zero_and_count_for_nothing) {
  Batch batch(8, 10, 3);
  batch.row.count = 5;
  for (int i = 50; i < 80; ++i) batch.logits[static_cast<std::size_t>(i)] = std::numeric_limits<float>::quiet_NaN();
  LossSums sums;
  std::vector<float> gradient(80, 7.0F);
  cpu::softmax_cross_entropy(batch.arguments(&sums, gradient.data()), cpu_context(cpu::select_kernels(), 2));
  EXPECT_EQ(sums.samples, 5);
  EXPECT_EQ(sums.not_finite, 0);
  EXPECT_TRUE(std::isfinite(sums.loss));
  for (int i = 0; i < 50; ++i) EXPECT_NE(gradient[static_cast<std::size_t>(i)], 0.0F) << i;
  for (int i = 50; i < 80; ++i) EXPECT_EQ(gradient[static_cast<std::size_t>(i)], 0.0F) << i;
}

TEST(LossRows, a_rank_without_samples_contributes_zeros) {
  Batch batch(4, 10, 3);
  batch.row.count = 0;
  LossSums sums;
  std::vector<float> gradient(40, 7.0F);
  cpu::softmax_cross_entropy(batch.arguments(&sums, gradient.data()), cpu_context(cpu::select_kernels(), 2));
  EXPECT_EQ(sums.loss, 0);
  EXPECT_EQ(sums.samples, 0);
  EXPECT_EQ(gradient, std::vector<float>(40, 0.0F));
}

TEST(LossRows, staged_labels_are_read_by_position) {
  Batch batch(3, 4, 2);
  LossSums by_sample, by_position;
  cpu::softmax_cross_entropy(batch.arguments(&by_sample, nullptr), cpu_context(cpu::select_kernels(), 1));
  std::vector<std::int32_t> staged;
  for (int p = 0; p < 3; ++p) staged.push_back(batch.label(p));
  LossArgs args = batch.arguments(&by_position, nullptr);
  args.source.labels = staged.data();
  args.source.staged = true;
  cpu::softmax_cross_entropy(args, cpu_context(cpu::select_kernels(), 1));
  EXPECT_EQ(by_position.loss, by_sample.loss);
  EXPECT_EQ(by_position.correct, by_sample.correct);
}

TEST(LossRows, equal_logits_count_for_the_first_class) {
  Batch batch(2, 3, 0);
  batch.labels = {0, 1};
  batch.order = {0, 1};
  batch.row.first = 0;
  LossSums sums;
  cpu::softmax_cross_entropy(batch.arguments(&sums, nullptr), cpu_context(cpu::select_kernels(), 1));
  EXPECT_EQ(sums.correct, 1);
  EXPECT_NEAR(sums.loss, 2 * std::log(3.0), 1e-12);
}

TEST(LossRows, samples_whose_loss_is_not_finite_are_counted_and_never_correct) {
  Batch batch(4, 3, 1);
  batch.logits[0] = std::numeric_limits<float>::quiet_NaN();
  batch.logits[3] = std::numeric_limits<float>::infinity();
  batch.logits[6] = -std::numeric_limits<float>::infinity();
  batch.labels.assign(batch.labels.size(), 0);
  batch.logits[9] = 5;  // the only sound one, and correct
  LossSums sums;
  cpu::softmax_cross_entropy(batch.arguments(&sums, nullptr), cpu_context(cpu::select_kernels(), 1));
  EXPECT_EQ(sums.not_finite, 3);
  EXPECT_EQ(sums.correct, 1);
  EXPECT_EQ(sums.samples, 4);
}

TEST(LossRows, huge_logits_neither_overflow_nor_lose_the_gradient) {
  Batch batch(1, 2, 0);
  batch.logits = {1e30F, -1e30F};
  batch.labels = {1};
  batch.order = {0};
  batch.row.first = 0;
  LossSums sums;
  std::vector<float> gradient(2);
  cpu::softmax_cross_entropy(batch.arguments(&sums, gradient.data()), cpu_context(cpu::select_kernels(), 1));
  EXPECT_NEAR(sums.loss, 2e30, 2e23);
  EXPECT_EQ(gradient, (std::vector<float>{1.0F, -1.0F}));
}

TEST(LossThreads, sums_and_gradients_are_equal_to_the_bit_for_any_number) {
  const Batch batch(1500, 10, 9);
  LossSums first;
  std::vector<float> first_gradient(batch.logits.size());
  cpu::softmax_cross_entropy(batch.arguments(&first, first_gradient.data()), cpu_context(cpu::select_kernels(), 1));
  for (const auto& [name, context] : cpu_contexts()) {
    LossSums sums;
    std::vector<float> gradient(batch.logits.size());
    cpu::softmax_cross_entropy(batch.arguments(&sums, gradient.data()), context);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(sums.loss), std::bit_cast<std::uint64_t>(first.loss)) << name;
    EXPECT_EQ(sums.correct, first.correct) << name;
    EXPECT_EQ(gradient, first_gradient) << name;
  }
}

TEST(LossTypes, a_bf16_gradient_is_the_fp32_one_rounded) {
  const Batch batch(50, 10, 4);
  LossSums sums;
  std::vector<float> wide(batch.logits.size());
  std::vector<std::uint16_t> narrow(batch.logits.size());
  const cpu::Kernels& kernels = cpu::select_kernels();
  cpu::softmax_cross_entropy(batch.arguments(&sums, wide.data()), cpu_context(kernels, 1));
  cpu::softmax_cross_entropy(batch.arguments(&sums, narrow.data()), cpu_context(kernels, 1, DType::bf16));
  for (std::size_t i = 0; i < wide.size(); ++i) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(narrow[i]) << 16);
    EXPECT_LE(std::abs(value - wide[i]), std::abs(wide[i]) * 0x1p-8F) << i;
  }
}

}  // namespace
}  // namespace convoy
