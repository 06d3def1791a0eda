// Softmax cross-entropy over a batch of logits: loss, gradient and hits in one pass, one thread a row.
// A few thousand exponentials a step: nothing here is worth vectors.
#include "cpu/loss.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "convoy/error.hpp"
#include "cpu/parts.hpp"

namespace convoy::cpu {
namespace {

void store(float value, float* to) { *to = value; }

// Round to nearest even; a NaN stays one.
void store(float value, std::uint16_t* to) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  *to = static_cast<std::uint16_t>(std::isnan(value) ? (bits >> 16) | 0x40u : rounded);
}

// Target distribution: 1 - smoothing on the label, and smoothing / classes on every class (PyTorch's).
struct RowLoss {
  double loss;
  bool is_correct;
};

template <typename T>
RowLoss row_loss(const LossArgs& args, const float* logits, int label, float loss_weight, T* gradient) {
  const int classes = args.classes;
  float largest = -std::numeric_limits<float>::infinity();
  int winner = 0;
  for (int c = 0; c < classes; ++c) {
    const float z = args.logit_scale * logits[c];
    if (z > largest) {
      largest = z;
      winner = c;
    }
  }
  double sum = 0;       // of exp(z - largest)
  double sum_of_z = 0;  // of z - largest
  for (int c = 0; c < classes; ++c) {
    const float z = args.logit_scale * logits[c] - largest;
    sum += std::exp(z);
    sum_of_z += z;
  }
  const double smoothing = args.smoothing;
  const double z_label = args.logit_scale * logits[label] - largest;
  const double loss = std::log(sum) - (1 - smoothing) * z_label - smoothing / classes * sum_of_z;

  if (gradient != nullptr) {
    const float weight = args.logit_scale * loss_weight;
    const auto inverse_sum = static_cast<float>(1 / sum);
    const float elsewhere = args.smoothing / static_cast<float>(classes);
    for (int c = 0; c < classes; ++c) {
      const float p = std::exp(args.logit_scale * logits[c] - largest) * inverse_sum;
      const float target = elsewhere + (c == label ? 1 - args.smoothing : 0.0F);
      store(weight * (p - target), &gradient[c]);
    }
  }
  return {loss, std::isfinite(loss) && winner == label};
}

template <typename T>
void batch_loss(const LossArgs& args, int threads) {
  const StepRow row = *args.row;
  LossSums parts[kParts];
  T* gradients = static_cast<T*>(args.gradient);
  // Parts of rows that depend on the batch alone: the sums are equal to the bit for any number of threads.
#pragma omp parallel for schedule(static) \
    num_threads(useful_threads(std::int64_t{8} * args.rows * args.classes, threads))
  for (int part = 0; part < kParts; ++part) {
    const int begin = static_cast<int>(std::int64_t{args.rows} * part / kParts);
    const int end = static_cast<int>(std::int64_t{args.rows} * (part + 1) / kParts);
    LossSums sums;
    for (int position = begin; position < end; ++position) {
      const std::size_t start = static_cast<std::size_t>(position) * static_cast<std::size_t>(args.classes);
      T* gradient = gradients == nullptr ? nullptr : gradients + start;
      if (position >= row.count) {
        if (gradient != nullptr) std::fill_n(gradient, args.classes, T{});
        continue;
      }
      const int label = args.source.labels[args.source.staged ? position : args.source.order[row.first + position]];
      const RowLoss result = row_loss(args, args.logits + start, label, row.loss_weight, gradient);
      sums.loss += result.loss;
      sums.correct += result.is_correct ? 1 : 0;
      sums.samples += 1;
      sums.not_finite += std::isfinite(result.loss) ? 0 : 1;
    }
    parts[part] = sums;
  }
  for (const LossSums& part : parts) {
    args.sums->loss += part.loss;
    args.sums->correct += part.correct;
    args.sums->samples += part.samples;
    args.sums->not_finite += part.not_finite;
  }
}

}  // namespace

void softmax_cross_entropy(const LossArgs& args, const Context& context) {
  CONVOY_CHECK(context.compute != DType::f16, "loss: the CPU backend computes in fp32 or bf16, not fp16");
  if (context.compute == DType::f32) {
    batch_loss<float>(args, context.threads);
  } else {
    batch_loss<std::uint16_t>(args, context.threads);
  }
}

}  // namespace convoy::cpu
