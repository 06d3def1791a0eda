// What follows a convolution on the CPU: max-pool, batch normalisation, residual addition, activation. In training
// one pass over the input pools and sums, one over the pooled tensor normalises; backward the same way round.
// Saved for the backward pass: the pooled tensor, the maxima's places, statistics per group of samples.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "cpu/bias_sums.hpp"
#include "cpu/operations.hpp"
#include "nn/check_spec.hpp"
#include "nn/operation_needs.hpp"

namespace convoy::cpu {
namespace {

// Pixels of a block of channels whose sums one thread makes in one piece, fewer of a wider one; chosen so that a piece
// is some hundred kilobytes.
constexpr std::int64_t kChunkPixels = 4096;
constexpr int kBlock = 16;

// Below this many elements waking the other threads takes longer than the work.
constexpr std::size_t kSerialElements = 16384;

class Epilogue final : public Operation {
 public:
  Epilogue(const EpilogueSpec& spec, int batch, Mode mode, const Context& context);

  Needs needs() const override { return needs_; }
  Work work() const override;
  std::string implementation() const override { return std::string(kernels_isa_) + " loops"; }
  void forward(const Operands& operands) override;
  void backward_begin(const Operands& operands) override;
  void backward_weights(const Operands& operands) override;
  void backward_data(const Operands& operands) override;

 private:
  // Per-channel fp32 arrays behind EpilogueSaved::statistics (training) or in the workspace (evaluation).
  struct Statistics {
    float *mean, *factor, *deviation_inverse, *slope, *offset;  // [groups][width]
    float *shift, *scale_gradient, *shift_gradient;             // [width]
  };

  std::size_t statistics_floats() const { return std::size_t(width_) * (std::size_t(groups_) * 5 + 3); }
  Statistics statistics(void* memory) const;
  // Rows beyond the step's count are padding: they take no part in statistics and gradients.
  int valid_samples(const Operands& operands) const {
    return operands.row == nullptr ? batch_ : std::clamp(operands.row->count, 0, batch_);
  }
  int groups_of(int samples) const { return (samples + args_.group_size - 1) / args_.group_size; }
  int group_end(int group, int samples) const { return std::min(samples, (group + 1) * args_.group_size); }
  void zero_padding(void* activation, std::size_t bytes, int samples) const;

  void set_factors(const Operands& operands, int group, const Statistics& statistics) const;
  void batch_statistics(const Operands& operands, int samples, double* workspace, const Statistics& statistics) const;
  void gradient_factors(int samples, double* workspace, const Statistics& statistics) const;
  EpilogueArgs backward_args(const Operands& operands) const;
  void backward_bias(const Operands& operands) const;

  EpilogueSpec spec_;
  int batch_;
  EpilogueFacts facts_;
  Context context_;
  const EpilogueKernels& kernels_;
  std::string_view kernels_isa_;
  int width_;  // channels with the layout's padding
  int groups_ = 1, chunks_per_group_ = 1;
  // The workspace: the kernels' sums by chunk, and behind them kRows rows of [width].
  static constexpr int kRows = 4;
  std::size_t sums_count() const { return std::size_t(groups_) * chunks_per_group_ * 2 * width_; }
  StoredTensors stored_;
  EpilogueArgs args_;  // shapes; the pointers change from call to call
  EpilogueSaved saved_;
  Needs needs_;
  std::vector<float> zeros_, ones_;  // [width]: factors where nothing is normalised
};

Epilogue::Epilogue(const EpilogueSpec& spec, int batch, Mode mode, const Context& context)
    : spec_(spec),
      batch_(batch),
      facts_(spec, mode),
      context_(context),
      kernels_(context.kernels->epilogue),
      kernels_isa_(context.kernels->isa) {
  const Layout in = context.layout(spec.input), out = context.layout(spec.output);
  width_ = in.blocks * in.block;
  stored_ = {in.sample_elements(), out.sample_elements(), batch, context.compute};

  args_.samples = batch;
  args_.blocks = in.blocks;
  args_.block = in.block;
  args_.channels = spec.input.channels;
  args_.pooled_sample = out.sample_elements();
  // Without pooling a plane is one long row.
  args_.height = spec.pool == 1 ? 1 : in.height;
  args_.width = spec.pool == 1 ? in.height * in.width : in.width;
  args_.pooled_height = spec.pool == 1 ? 1 : out.height;
  args_.pooled_width = spec.pool == 1 ? args_.width : out.width;
  args_.pool = spec.pool;
  args_.group_size = facts_.normalises_batch && spec.group_size > 0 ? std::min(spec.group_size, batch) : batch;
  const std::int64_t chunk_pixels = kChunkPixels * kBlock / std::max(in.block, kBlock);
  args_.chunk_size = static_cast<int>(std::clamp<std::int64_t>(chunk_pixels / out.pixels(), 1, args_.group_size));
  args_.type = context.compute;
  args_.activation = spec.activation;
  args_.threads = stored_.input < kSerialElements ? 1 : context.threads;
  groups_ = groups_of(batch);
  chunks_per_group_ = (args_.group_size + args_.chunk_size - 1) / args_.chunk_size;
  zeros_.assign(width_, 0.0F);
  ones_.assign(width_, 1.0F);

  needs_ = epilogue_needs(spec, facts_, stored_, statistics_floats() * sizeof(float), saved_);
  if (facts_.normalises_batch) {
    needs_.workspace = (sums_count() + std::size_t(kRows) * width_) * sizeof(double);
  } else if (spec.normalise) {
    needs_.workspace = statistics_floats() * sizeof(float);
  }
  if (facts_.trains && spec.bias_gradient) needs_.workspace = bias_sums_workspace(batch, in);
}

// Bytes: every tensor once per pass that needs it. Operations: a handful per element, some 25 where an exponential
// is evaluated.
Work Epilogue::work() const {
  const double in = stored_.input_bytes(), pooled = stored_.output_bytes(), elements = stored_.output;
  const double places = saved_.argmax == EpilogueSaved::kNone ? 0 : elements;
  const bool pools = spec_.pool > 1;
  const double activation = facts_.is_smooth ? 25 : spec_.activation == Activation::relu ? 1 : 0;
  Work work;
  work.forward_bytes = in + (saved_.pooled == EpilogueSaved::kNone ? 0 : pooled) + places + pooled;
  if (facts_.normalises_batch) work.forward_bytes += pooled;
  if (spec_.residual) work.forward_bytes += pooled;
  if (saved_.preactivation != EpilogueSaved::kNone) work.forward_bytes += pooled;
  const double windows = pools ? spec_.pool * spec_.pool : 0;
  work.forward_flops = elements * (windows + activation + (spec_.normalise ? 3 : 0) + (spec_.residual ? 1 : 0) +
                                   (facts_.normalises_batch ? 4 : 0));
  if (!facts_.trains || !facts_.wants_gradient) return work;
  const bool has_source = saved_.preactivation != EpilogueSaved::kNone || needs_.backward_reads_output;
  const double gradients =
      (spec_.input_gradient ? in + places : 0) + (spec_.residual && spec_.residual_gradient ? pooled : 0);
  if (spec_.normalise) {
    const bool overwrites = spec_.activation != Activation::none && gradients > 0;
    work.backward_bytes = pooled * (2 + (has_source ? 1 : 0) + (overwrites ? 1 : 0));
    if (gradients > 0) work.backward_bytes += gradients + pooled * (spec_.input_gradient ? 2 : 1);
    work.backward_flops = elements * (activation + 9);
  } else {
    work.backward_bytes = gradients + pooled * (spec_.activation == Activation::none ? 1 : 2);
    work.backward_flops = elements * activation;
  }
  return work;
}

Epilogue::Statistics Epilogue::statistics(void* memory) const {
  float* next = static_cast<float*>(memory);
  const auto take = [&next](std::size_t count) {
    float* array = next;
    next += count;
    return array;
  };
  const std::size_t each = std::size_t(groups_) * width_;
  Statistics statistics{};
  for (float** array :
       {&statistics.mean, &statistics.factor, &statistics.deviation_inverse, &statistics.slope, &statistics.offset}) {
    *array = take(each);
  }
  for (float** array : {&statistics.shift, &statistics.scale_gradient, &statistics.shift_gradient}) {
    *array = take(width_);
  }
  return statistics;
}

// Factor and shift from mean and 1/deviation; the layout's padding channels become zero whatever they hold.
void Epilogue::set_factors(const Operands& operands, int group, const Statistics& statistics) const {
  const int channels = spec_.input.channels;
  const std::size_t at = std::size_t(group) * width_;
  for (int channel = 0; channel < width_; ++channel) {
    const bool real = channel < channels;
    const float scale = operands.weights == nullptr || !real ? 1.0F : operands.weights[channel];
    statistics.factor[at + channel] = real ? scale * statistics.deviation_inverse[at + channel] : 0.0F;
    statistics.shift[channel] = operands.bias == nullptr || !real ? 0.0F : operands.bias[channel];
  }
}

// Chunks are combined in fp64 in a fixed order (Chan, Golub and LeVeque 1983), so that the number of threads does
// not matter. Running statistics take the mean of the groups' values.
void Epilogue::batch_statistics(const Operands& operands, int samples, double* workspace,
                                const Statistics& statistics) const {
  const int groups = groups_of(samples);
  const std::int64_t pixels = std::int64_t{args_.pooled_height} * args_.pooled_width;
  const double* sums = workspace;
  double *means = workspace + sums_count(), *squares = means + width_;
  double *running_mean = squares + width_, *running_variance = running_mean + width_;
  std::fill_n(means, kRows * width_, 0.0);
  for (int group = 0; group < groups; ++group) {
    const int first = group * args_.group_size, end = group_end(group, samples);
    const double count = static_cast<double>((end - first) * pixels);
    const auto each_chunk = [&](auto&& body) {
      for (int chunk = 0; first + chunk * args_.chunk_size < end; ++chunk) {
        const int begin = first + chunk * args_.chunk_size;
        const double chunk_count = static_cast<double>((std::min(begin + args_.chunk_size, end) - begin) * pixels);
        body(chunk_count, sums + (std::size_t(group) * chunks_per_group_ + chunk) * 2 * width_);
      }
    };
    std::fill_n(means, width_, 0.0);
    std::fill_n(squares, width_, 0.0);
    each_chunk([&](double chunk_count, const double* chunk) {
      for (int channel = 0; channel < width_; ++channel) means[channel] += chunk_count / count * chunk[channel];
    });
    each_chunk([&](double chunk_count, const double* chunk) {
      for (int channel = 0; channel < width_; ++channel) {
        const double apart = chunk[channel] - means[channel];
        squares[channel] += chunk[width_ + channel] + chunk_count * apart * apart;
      }
    });
    const std::size_t at = std::size_t(group) * width_;
    for (int channel = 0; channel < width_; ++channel) {
      statistics.mean[at + channel] = static_cast<float>(means[channel]);
      statistics.deviation_inverse[at + channel] =
          static_cast<float>(1.0 / std::sqrt(squares[channel] / count + static_cast<double>(spec_.epsilon)));
      running_mean[channel] += means[channel] / groups;
      running_variance[channel] += squares[channel] / std::max(count - 1.0, 1.0) / groups;
    }
    set_factors(operands, group, statistics);
  }
  if (groups == 0) return;
  const double share = spec_.statistics_momentum;
  for (int channel = 0; channel < spec_.input.channels; ++channel) {
    const auto move = [share](float* value, double target) {
      if (value != nullptr) *value = static_cast<float>((1.0 - share) * static_cast<double>(*value) + share * target);
    };
    move(operands.running_mean == nullptr ? nullptr : operands.running_mean + channel, running_mean[channel]);
    move(operands.running_variance == nullptr ? nullptr : operands.running_variance + channel,
         running_variance[channel]);
  }
}

void Epilogue::forward(const Operands& operands) {
  EpilogueArgs args = args_;
  args.input = operands.input;
  args.residual = spec_.residual ? operands.residual : nullptr;
  args.output = operands.output;
  args.pooled = EpilogueSaved::at<void>(operands.saved, saved_.pooled);
  args.argmax = EpilogueSaved::at<std::uint8_t>(operands.saved, saved_.argmax);
  args.preactivation = EpilogueSaved::at<void>(operands.saved, saved_.preactivation);
  args.mean = zeros_.data();
  args.factor = ones_.data();
  args.shift = zeros_.data();
  if (spec_.normalise) {
    const Statistics values =
        statistics(facts_.trains ? EpilogueSaved::at<void>(operands.saved, saved_.statistics) : operands.workspace);
    if (facts_.trains) {
      args.samples = valid_samples(operands);
      args.sums = static_cast<double*>(operands.workspace);
      kernels_.forward_sums(args);
      batch_statistics(operands, args.samples, args.sums, values);
      if (spec_.pool > 1) {
        args.input = args.pooled;
        args.pool = 1;
      }
    } else {
      for (int channel = 0; channel < width_; ++channel) {
        const bool real = channel < spec_.input.channels;
        values.mean[channel] = real ? operands.running_mean[channel] : 0.0F;
        values.deviation_inverse[channel] =
            real ? 1.0F / std::sqrt(operands.running_variance[channel] + spec_.epsilon) : 0.0F;
      }
      set_factors(operands, 0, values);
    }
    args.mean = values.mean;
    args.factor = values.factor;
    args.shift = values.shift;
  }
  kernels_.forward_apply(args);
  zero_padding(operands.output, stored_.output_bytes(), args.samples);
}

// What lies behind the first `samples` of an activation of so many bytes.
void Epilogue::zero_padding(void* activation, std::size_t bytes, int samples) const {
  if (activation == nullptr || samples == batch_) return;
  const std::size_t used = bytes / batch_ * samples;
  std::memset(static_cast<std::byte*>(activation) + used, 0, bytes - used);
}

EpilogueArgs Epilogue::backward_args(const Operands& operands) const {
  EpilogueArgs args = args_;
  args.input = spec_.pool > 1 ? EpilogueSaved::at<void>(operands.saved, saved_.pooled) : operands.input;
  args.argmax = EpilogueSaved::at<std::uint8_t>(operands.saved, saved_.argmax);
  args.source = EpilogueSaved::at<void>(operands.saved, saved_.preactivation);
  if (facts_.normalises_batch) args.samples = valid_samples(operands);
  if (needs_.backward_reads_output) args.source = operands.output;
  args.output_gradient = operands.output_gradient;
  return args;
}

// The gradient's factors per group, and the sums over all groups.
void Epilogue::gradient_factors(int samples, double* workspace, const Statistics& statistics) const {
  const int groups = groups_of(samples);
  const std::int64_t pixels = std::int64_t{args_.pooled_height} * args_.pooled_width;
  const double* sums = workspace;
  double *scale_gradient = workspace + sums_count(), *shift_gradient = scale_gradient + width_;
  double *gradient = shift_gradient + width_, *product = gradient + width_;
  std::fill_n(scale_gradient, kRows * width_, 0.0);
  for (int group = 0; group < groups; ++group) {
    const int first = group * args_.group_size, end = group_end(group, samples);
    const double count = static_cast<double>((end - first) * pixels);
    std::fill_n(gradient, width_, 0.0);
    std::fill_n(product, width_, 0.0);
    for (int chunk = 0; first + chunk * args_.chunk_size < end; ++chunk) {
      const double* from = sums + (std::size_t(group) * chunks_per_group_ + chunk) * 2 * width_;
      for (int channel = 0; channel < width_; ++channel) {
        gradient[channel] += from[channel];
        product[channel] += from[width_ + channel];
      }
    }
    const std::size_t at = std::size_t(group) * width_;
    for (int channel = 0; channel < width_; ++channel) {
      const double inverse = statistics.deviation_inverse[at + channel], factor = statistics.factor[at + channel];
      statistics.slope[at + channel] = static_cast<float>(-factor * inverse * inverse * product[channel] / count);
      statistics.offset[at + channel] = static_cast<float>(-factor * gradient[channel] / count);
      scale_gradient[channel] += inverse * product[channel];
      shift_gradient[channel] += gradient[channel];
    }
  }
  for (int channel = 0; channel < width_; ++channel) {
    statistics.scale_gradient[channel] = static_cast<float>(scale_gradient[channel]);
    statistics.shift_gradient[channel] = static_cast<float>(shift_gradient[channel]);
  }
}

void Epilogue::backward_begin(const Operands& operands) {
  if (!facts_.normalises_batch || !facts_.wants_gradient) return;
  const Statistics values = statistics(EpilogueSaved::at<void>(operands.saved, saved_.statistics));
  EpilogueArgs args = backward_args(operands);
  args.mean = values.mean;
  args.factor = values.factor;
  args.shift = values.shift;
  args.sums = static_cast<double*>(operands.workspace);
  args.keep_gradient = spec_.input_gradient || (spec_.residual && spec_.residual_gradient);
  kernels_.backward_sums(args);
  gradient_factors(args.samples, args.sums, values);
}

// The input's gradient, which nobody else wants, takes the place of the output's.
void Epilogue::backward_bias(const Operands& operands) const {
  EpilogueArgs args = backward_args(operands);
  args.source = args.input;
  args.input_gradient = operands.output_gradient;
  kernels_.backward_apply(args);
  bias_sums(operands.output_gradient, batch_, context_.layout(spec_.input), operands.workspace, operands.bias_gradient,
            context_);
}

void Epilogue::backward_weights(const Operands& operands) {
  if (spec_.bias_gradient) return backward_bias(operands);
  if (!facts_.normalises_batch) return;
  const Statistics values = statistics(EpilogueSaved::at<void>(operands.saved, saved_.statistics));
  const int channels = spec_.input.channels;
  if (spec_.scale_gradient && operands.weights_gradient != nullptr) {
    std::copy_n(values.scale_gradient, channels, operands.weights_gradient);
  }
  if (spec_.shift_gradient && operands.bias_gradient != nullptr) {
    std::copy_n(values.shift_gradient, channels, operands.bias_gradient);
  }
}

void Epilogue::backward_data(const Operands& operands) {
  if (!facts_.trains) return;
  EpilogueArgs args = backward_args(operands);
  args.input_gradient = spec_.input_gradient ? operands.input_gradient : nullptr;
  args.residual_gradient = spec_.residual && spec_.residual_gradient ? operands.residual_gradient : nullptr;
  if (args.input_gradient == nullptr && args.residual_gradient == nullptr) return;
  if (spec_.normalise) {
    const Statistics values = statistics(EpilogueSaved::at<void>(operands.saved, saved_.statistics));
    args.mean = values.mean;
    args.factor = values.factor;
    args.slope = values.slope;
    args.offset = values.offset;
  } else if (args.source == nullptr) {
    args.source = args.input;  // nothing between the pooled tensor and the activation
  }
  kernels_.backward_apply(args);
  zero_padding(args.input_gradient, stored_.input_bytes(), args.samples);
  zero_padding(args.residual_gradient, stored_.output_bytes(), args.samples);
}

}  // namespace

std::unique_ptr<Operation> plan_epilogue(const EpilogueSpec& spec, int batch, Mode mode, const Context& context) {
  check(spec, batch);
  return std::make_unique<Epilogue>(spec, batch, mode, context);
}

}  // namespace convoy::cpu
