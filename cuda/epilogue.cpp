// What follows a convolution on the GPU: max-pool, batch normalisation, residual addition, activation. Two kernels each
// way where the batch's statistics are taken, one otherwise. Saved for the backward pass: the pooled tensor, the
// maxima's places, what a smooth activation saw where a residual was added, statistics per group of samples.
#include "kernels/epilogue.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "check.hpp"
#include "convoy/error.hpp"
#include "device_memory.hpp"
#include "nn/check_spec.hpp"
#include "operations.hpp"

namespace convoy::cuda {
namespace {

class Epilogue final : public Operation {
 public:
  Epilogue(const EpilogueSpec& spec, int batch, Mode mode, const Context& context);

  Needs needs() const override { return needs_; }
  Work work() const override;
  std::string implementation() const override { return "own kernels"; }
  void forward(const Operands& operands) override;
  void backward_begin(const Operands& operands) override;
  void backward_data(const Operands& operands) override;

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};  // not kept
  struct Saved {                                         // offsets in bytes
    std::size_t pooled = kNone, argmax = kNone, preactivation = kNone, statistics = kNone;
  };

  bool trains() const { return mode_ == Mode::train; }
  bool smooth() const { return spec_.activation == Activation::gelu || spec_.activation == Activation::silu; }
  bool normalises_batch() const { return trains() && spec_.normalise; }
  bool wants_data_gradient() const { return spec_.input_gradient || (spec_.residual && spec_.residual_gradient); }
  bool wants_gradient() const {
    return wants_data_gradient() || spec_.bias_gradient ||
           (spec_.normalise && (spec_.scale_gradient || spec_.shift_gradient));
  }
  bool sums_gradient() const { return spec_.bias_gradient || (normalises_batch() && wants_gradient()); }
  template <typename T>
  T* saved(const Operands& operands, std::size_t offset) const {
    return offset == kNone ? nullptr : reinterpret_cast<T*>(static_cast<std::byte*>(operands.saved) + offset);
  }
  EpilogueArgs with_statistics(const Operands& operands) const;
  EpilogueArgs backward_args(const Operands& operands) const;

  EpilogueSpec spec_;
  Mode mode_;
  cudaStream_t stream_;
  EpilogueArgs args_;  // shapes; the pointers change from call to call
  std::size_t element_, groups_, input_bytes_, pooled_bytes_;
  Saved saved_;
  Needs needs_;
  DeviceMemory counters_;  // a few words that must keep their zeros from step to step
};

Epilogue::Epilogue(const EpilogueSpec& spec, int batch, Mode mode, const Context& context)
    : spec_(spec), mode_(mode), stream_(context.stream), element_(bytes_per_element(context.compute)) {
  args_.shape.samples = batch;
  args_.shape.channels = spec.input.channels;
  args_.shape.height = spec.input.height;
  args_.shape.width = spec.input.width;
  args_.shape.pooled_height = spec.output.height;
  args_.shape.pooled_width = spec.output.width;
  args_.shape.pool = spec.pool;
  args_.shape.group_size = normalises_batch() && spec.group_size > 0 ? std::min(spec.group_size, batch) : batch;
  args_.type = context.compute;
  args_.activation = spec.activation;
  args_.epsilon = spec.epsilon;
  args_.statistics_momentum = spec.statistics_momentum;
  CONVOY_CHECK(std::int64_t{batch} * spec.input.height * spec.input.width <= std::numeric_limits<int>::max() / 2,
               "epilogue: {} images of {}x{} are more pixels than a kernel counts; a smaller --batch helps", batch,
               spec.input.height, spec.input.width);
  groups_ = static_cast<std::size_t>((batch + args_.shape.group_size - 1) / args_.shape.group_size);
  input_bytes_ = static_cast<std::size_t>(spec.input.elements()) * batch * element_;
  pooled_bytes_ = static_cast<std::size_t>(spec.output.elements()) * batch * element_;

  needs_.output = pooled_bytes_;
  if (trains()) {
    const bool recomputes = smooth() && !spec.residual;  // the activation's derivative from what the activation saw
    needs_.input_gradient = spec.input_gradient ? input_bytes_ : 0;
    needs_.backward_reads_input = wants_gradient() && spec.pool == 1 && (spec.normalise || recomputes);
    needs_.backward_reads_output =
        wants_gradient() && spec.activation == Activation::relu && (!spec.normalise || spec.residual);
    const auto keep = [this](std::size_t bytes) {
      const std::size_t offset = align_up(needs_.saved);
      needs_.saved = offset + bytes;
      return offset;
    };
    if (spec.pool > 1 && (spec.normalise || (recomputes && wants_gradient()))) saved_.pooled = keep(pooled_bytes_);
    if (spec.pool > 1 && spec.input_gradient) saved_.argmax = keep(pooled_bytes_ / element_);
    if (smooth() && spec.residual && wants_gradient()) saved_.preactivation = keep(pooled_bytes_);
  }
  if (normalises_batch()) {
    saved_.statistics = align_up(needs_.saved);
    needs_.saved = saved_.statistics + 5 * groups_ * spec.input.channels * sizeof(float);
  }
  if (normalises_batch() || sums_gradient()) {
    needs_.workspace = epilogue_workspace(args_);
    const std::size_t bytes = epilogue_counters(args_) * sizeof(unsigned);
    counters_ = allocate_memory(bytes);
    CHECK_CUDA(cudaMemsetAsync(counters_.get(), 0, bytes, stream_));
    args_.counters = static_cast<unsigned*>(counters_.get());
  }
  needs_.forward_in_place = spec.pool == 1 && !needs_.backward_reads_input;
  needs_.gradient_in_place = trains() && spec.pool == 1;
}

// Bytes: every tensor once per pass that needs it. Operations: a handful per element, some 25 where an exponential
// is evaluated.
Work Epilogue::work() const {
  const double in = input_bytes_, pooled = pooled_bytes_, elements = pooled / static_cast<double>(element_);
  const double covered = pooled * spec_.pool * spec_.pool;  // of the input, by windows
  const double places = saved_.argmax == kNone ? 0 : elements;
  const double activation = smooth() ? 25 : spec_.activation == Activation::relu ? 1 : 0;
  Work work;
  work.forward_bytes = covered + places + pooled;
  for (const bool one_more :
       {saved_.pooled != kNone, normalises_batch(), spec_.residual, saved_.preactivation != kNone}) {
    if (one_more) work.forward_bytes += pooled;
  }
  const double window = spec_.pool > 1 ? spec_.pool * spec_.pool : 0;
  work.forward_flops = elements * (window + activation + (spec_.normalise ? 3 : 0) + (spec_.residual ? 1 : 0) +
                                   (normalises_batch() ? 4 : 0));
  if (!trains() || !wants_gradient()) return work;
  const bool has_source = saved_.preactivation != kNone || needs_.backward_reads_output;
  const double written =
      (spec_.input_gradient ? in + places : 0) + (spec_.residual && spec_.residual_gradient ? pooled : 0);
  if (spec_.normalise) {
    const double read = pooled * (has_source ? 3 : 2);
    work.backward_bytes = read + (wants_data_gradient() ? read + written : 0);
    work.backward_flops = elements * (2 * activation + 9);
  } else {
    work.backward_bytes = written + pooled * (spec_.activation == Activation::none ? 1 : 2);
    work.backward_flops = elements * activation;
  }
  return work;
}

// The shapes, and where the batch's statistics lie.
EpilogueArgs Epilogue::with_statistics(const Operands& operands) const {
  EpilogueArgs args = args_;
  if (!spec_.normalise) return args;
  args.scale = operands.weights;
  args.shift = operands.bias;
  if (!trains()) return args;
  args.row = operands.row;
  float* next = saved<float>(operands, saved_.statistics);
  for (float** array : {&args.mean, &args.factor, &args.inverse_deviation, &args.slope, &args.offset}) {
    *array = next;
    next += groups_ * spec_.input.channels;
  }
  args.workspace = operands.workspace;
  return args;
}

void Epilogue::forward(const Operands& operands) {
  EpilogueArgs args = with_statistics(operands);
  args.input = operands.input;
  args.residual = spec_.residual ? operands.residual : nullptr;
  args.output = operands.output;
  args.pooled = saved<void>(operands, saved_.pooled);
  args.argmax = saved<unsigned char>(operands, saved_.argmax);
  args.preactivation = saved<void>(operands, saved_.preactivation);
  if (spec_.normalise) {
    args.running_mean = operands.running_mean;
    args.running_variance = operands.running_variance;
  }
  if (normalises_batch()) {
    epilogue_forward_sums(args, stream_);
    if (spec_.pool > 1) {
      args.input = args.pooled;
      args.pooled = nullptr;
      args.argmax = nullptr;
      args.shape.height = args.shape.pooled_height;
      args.shape.width = args.shape.pooled_width;
      args.shape.pool = 1;
    }
  }
  epilogue_forward_apply(args, stream_);
}

EpilogueArgs Epilogue::backward_args(const Operands& operands) const {
  EpilogueArgs args = with_statistics(operands);
  args.input = spec_.pool > 1 ? saved<void>(operands, saved_.pooled) : operands.input;
  args.argmax = saved<unsigned char>(operands, saved_.argmax);
  args.source = needs_.backward_reads_output ? operands.output : saved<void>(operands, saved_.preactivation);
  args.output_gradient = operands.output_gradient;
  return args;
}

// The gradients of scale, shift and bias are the sums, and are written by the kernel that makes these: backward_weights
// has nothing left to do.
void Epilogue::backward_begin(const Operands& operands) {
  if (!trains() || !sums_gradient()) return;
  EpilogueArgs args = backward_args(operands);
  if (spec_.bias_gradient) {
    args.row = operands.row;
    args.workspace = operands.workspace;
    args.shift_gradient = operands.bias_gradient;
  } else {
    args.scale_gradient = spec_.scale_gradient ? operands.weights_gradient : nullptr;
    args.shift_gradient = spec_.shift_gradient ? operands.bias_gradient : nullptr;
  }
  epilogue_backward_sums(args, stream_);
}

void Epilogue::backward_data(const Operands& operands) {
  if (!trains()) return;
  EpilogueArgs args = backward_args(operands);
  args.input_gradient = spec_.input_gradient ? operands.input_gradient : nullptr;
  args.residual_gradient = spec_.residual && spec_.residual_gradient ? operands.residual_gradient : nullptr;
  if (args.input_gradient == nullptr && args.residual_gradient == nullptr) return;
  // Nothing lies between the pooled tensor and the activation.
  if (!spec_.normalise && args.source == nullptr && spec_.activation != Activation::none) args.source = args.input;
  epilogue_backward_apply(args, stream_);
}

}  // namespace

std::unique_ptr<Operation> plan_epilogue(const EpilogueSpec& spec, int batch, Mode mode, const Context& context) {
  check(spec, batch);
  return std::make_unique<Epilogue>(spec, batch, mode, context);
}

}  // namespace convoy::cuda
