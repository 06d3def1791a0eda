// Softmax cross-entropy on every backend against double-precision references, finite differences and PyTorch; its sums
// for any number of threads.
// needs: oneDNN
#include "cpu/loss.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "convoy/philox.hpp"
#include "support/cpu_contexts.hpp"
#include "support/guarded_buffer.hpp"
#include "support/operation_fixture.hpp"

namespace convoy {
namespace {

using test::BackendCase;
using test::cpu_context;
using test::cpu_contexts;
using test::from_device;
using test::GuardedBuffer;
using test::on_device;

// The arithmetic is fp32 with fp64 sums everywhere. The tolerance is what a gradient is rounded by at the end, as a
// share of itself.
const BackendCase kBackends[] = {
    {"cpu", Precision::fp32, 0, "kept in fp32"},
    {"cpu", Precision::bf16, 0x1p-8, "rounded to 8 bits of mantissa"},
    {"cuda", Precision::fp32, 0, "kept in fp32"},
    {"cuda", Precision::bf16, 0x1p-8, "rounded to 8 bits of mantissa"},
    {"cuda", Precision::fp16, 0x1p-11, "rounded to 11 bits of mantissa"},
};
constexpr double kHalfOfLeastF16 = 0x1p-25;  // what a gradient below fp16's normal numbers is rounded by

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
    {257, 100, 1.0F, 0.1F, 0.25F, 30.0F}, {33, 2, 2.0F, 0.0F, 3.0F, 1.0F},     {5, 257, 1.0F, 0.1F, 1.0F, 9.0F},
    {4500, 3, 1.0F, 0.0F, 1.0F, 3.0F},
};

struct Outcome {
  LossSums sums;
  std::vector<float> gradient;  // empty without
};

class Loss : public test::OnBackend {
 protected:
  Outcome run(const Batch& batch, const LossArgs& given, LossSums sums = {}) {
    const GuardedBuffer logits = on_device(*backend, batch.logits, "logits");
    const GuardedBuffer labels = on_device(*backend, batch.labels, "labels");
    const GuardedBuffer order = on_device(*backend, batch.order, "order");
    const GuardedBuffer row = on_device(*backend, std::vector<StepRow>{batch.row}, "row");
    const GuardedBuffer device_sums = on_device(*backend, std::vector<LossSums>{sums}, "sums");
    const Extent extent{1, 1, batch.classes};
    const bool with_gradient = given.gradient != nullptr;
    const GuardedBuffer gradient(*backend, with_gradient ? backend->activation_bytes(batch.rows, extent) : 0,
                                 "gradient");
    LossArgs args = given;
    args.logits = logits.as<float>();
    args.source.labels = labels.as<std::int32_t>();
    args.source.order = order.as<std::int32_t>();
    args.row = row.as<StepRow>();
    args.sums = device_sums.as<LossSums>();
    args.gradient = gradient.data();
    backend->softmax_cross_entropy(args);
    Outcome outcome{from_device<LossSums>(*backend, device_sums)[0], {}};
    if (with_gradient) {
      outcome.gradient.resize(batch.logits.size());
      backend->unpack_activation(batch.rows, extent, gradient.data(), outcome.gradient.data());
    }
    gradient.expect_guards_intact();
    device_sums.expect_guards_intact();
    return outcome;
  }
  Outcome run(const Batch& batch) { return run(batch, batch.arguments(nullptr, &unused_)); }
  Outcome evaluate(const Batch& batch) { return run(batch, batch.arguments(nullptr, nullptr)); }

  // `given` times (1 +- tolerance), where `given` itself is off by `error`.
  double allowed(double given, double error) const {
    const double least = backend->compute_type() == DType::f16 ? kHalfOfLeastF16 : 0;
    return error + GetParam().tolerance * (std::abs(given) + error) + least;
  }

  char unused_ = 0;  // stands for the gradient's memory where there is to be one
};
INSTANTIATE_TEST_SUITE_P(Backends, Loss, testing::ValuesIn(kBackends), test::case_name);

TEST_P(Loss, sums_match_the_double_precision_reference) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::to_string(c.rows) + " rows of " + std::to_string(c.classes));
    const Batch batch(c.rows, c.classes, c.spread);
    double expected = 0;
    int correct = 0;
    for (int p = 0; p < c.rows; ++p) {
      const std::vector<double> logits = row_of(batch, p);
      expected += reference_loss(logits, batch.label(p), c.scale, c.smoothing);
      correct += std::max_element(logits.begin(), logits.end()) - logits.begin() == batch.label(p) ? 1 : 0;
    }
    LossArgs args = batch.arguments(nullptr, nullptr);
    args.logit_scale = c.scale;
    args.smoothing = c.smoothing;
    const LossSums sums = run(batch, args, {.loss = 1000, .correct = 100, .samples = 10, .not_finite = 0}).sums;
    // fp32 logits up to |scale * spread| = 30: each row's terms round at 30 * 2^-24.
    EXPECT_NEAR(sums.loss, 1000 + expected, 4e-6 * c.rows);
    EXPECT_EQ(sums.correct, 100 + correct);
    EXPECT_EQ(sums.samples, 10 + c.rows);
    EXPECT_EQ(sums.not_finite, 0);
  }
}

TEST_P(Loss, gradient_is_the_slope_of_the_weighted_loss) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::to_string(c.rows) + " rows of " + std::to_string(c.classes));
    Batch batch(c.rows, c.classes, c.spread);
    batch.row.loss_weight = c.loss_weight;
    LossArgs args = batch.arguments(nullptr, &unused_);
    args.logit_scale = c.scale;
    args.smoothing = c.smoothing;
    const std::vector<float> gradient = run(batch, args).gradient;
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
                    allowed(c.loss_weight * slope, 5e-6 * c.loss_weight * c.scale));
      }
    }
  }
}

TEST_P(Loss, the_same_batch_gives_the_same_bits_again) {
  const Batch batch(1500, 10, 9);
  const Outcome first = run(batch);
  for (int again = 0; again < 5; ++again) {
    const Outcome outcome = run(batch);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(outcome.sums.loss), std::bit_cast<std::uint64_t>(first.sums.loss));
    EXPECT_EQ(outcome.gradient, first.gradient);
  }
}

// torch.nn.functional.cross_entropy(x, torch.tensor([2, 1]), label_smoothing=0.2, reduction='sum').backward() for
// x = [[1.5, -0.25, 0.75], [-2, 0.5, 3]]; PyTorch 2 on a CPU.
TEST_P(Loss, equals_pytorch_with_label_smoothing) {
  Batch batch(2, 3, 0);
  batch.logits = {1.5F, -0.25F, 0.75F, -2.0F, 0.5F, 3.0F};
  batch.labels = {2, 1};
  batch.order = {0, 1};
  batch.row.first = 0;
  const float expected[] = {0.540814877F, 0.0388977826F, -0.579712749F, -0.0604783855F, -0.791277945F, 0.851756275F};
  LossArgs args = batch.arguments(nullptr, &unused_);
  args.smoothing = 0.2F;
  const Outcome outcome = run(batch, args);
  EXPECT_NEAR(outcome.sums.loss, 3.8501975536346436, 5e-7);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(outcome.gradient[i], expected[i], allowed(expected[i], 1.2e-7)) << i;
  }
}

TEST_P(Loss, padding_rows_have_gradient_zero_and_count_for_nothing) {
  Batch batch(8, 10, 3);
  batch.row.count = 5;
  for (int i = 50; i < 80; ++i) batch.logits[static_cast<std::size_t>(i)] = std::numeric_limits<float>::quiet_NaN();
  batch.order.resize(static_cast<std::size_t>(batch.row.first + batch.row.count));  // ends with the last valid row
  const auto [sums, gradient] = run(batch);
  EXPECT_EQ(sums.samples, 5);
  EXPECT_EQ(sums.not_finite, 0);
  EXPECT_TRUE(std::isfinite(sums.loss));
  for (std::size_t i = 0; i < 50; ++i) EXPECT_NE(gradient[i], 0.0F) << i;
  for (std::size_t i = 50; i < 80; ++i) EXPECT_EQ(gradient[i], 0.0F) << i;
}

TEST_P(Loss, a_rank_without_samples_contributes_zeros) {
  Batch batch(4, 10, 3);
  batch.row.count = 0;
  const auto [sums, gradient] = run(batch);
  EXPECT_EQ(sums.loss, 0);
  EXPECT_EQ(sums.samples, 0);
  EXPECT_EQ(gradient, std::vector<float>(40, 0.0F));
}

TEST_P(Loss, staged_labels_are_read_by_position) {
  Batch batch(3, 4, 2);
  const LossSums by_sample = evaluate(batch).sums;
  std::vector<std::int32_t> staged;
  for (int p = 0; p < 3; ++p) staged.push_back(batch.label(p));
  batch.labels = staged;
  LossArgs args = batch.arguments(nullptr, nullptr);
  args.source.staged = true;
  const LossSums by_position = run(batch, args).sums;
  EXPECT_EQ(by_position.loss, by_sample.loss);
  EXPECT_EQ(by_position.correct, by_sample.correct);
}

TEST_P(Loss, equal_logits_count_for_the_first_class) {
  for (const int classes : {3, 40, 257}) {
    Batch batch(3, classes, 0);
    batch.labels = {0, classes - 1, classes - 1};
    batch.order = {0, 1, 2};
    batch.row.first = 0;
    const LossSums sums = evaluate(batch).sums;
    EXPECT_EQ(sums.correct, 1);
    EXPECT_NEAR(sums.loss, 3 * std::log(classes), 1e-12);
  }
}

TEST_P(Loss, samples_whose_loss_is_not_finite_are_counted_and_never_correct) {
  Batch batch(4, 3, 1);
  batch.logits[0] = std::numeric_limits<float>::quiet_NaN();
  batch.logits[3] = std::numeric_limits<float>::infinity();
  batch.logits[6] = -std::numeric_limits<float>::infinity();
  batch.labels.assign(batch.labels.size(), 0);
  batch.logits[9] = 5;  // the only sound one, and correct
  const LossSums sums = evaluate(batch).sums;
  EXPECT_EQ(sums.not_finite, 3);
  EXPECT_EQ(sums.correct, 1);
  EXPECT_EQ(sums.samples, 4);
}

TEST_P(Loss, huge_logits_neither_overflow_nor_lose_the_gradient) {
  Batch batch(1, 2, 0);
  batch.logits = {1e30F, -1e30F};
  batch.labels = {1};
  batch.order = {0};
  batch.row.first = 0;
  const auto [sums, gradient] = run(batch);
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

}  // namespace
}  // namespace convoy
