// What follows a convolution on the GPU: max-pool, batch normalisation, residual addition, activation. Two kernels each
// way where the batch's statistics are taken, forward one if it has the device for itself; one otherwise. Saved for the
// backward pass: the pooled tensor, the maxima's places, what a smooth activation saw where a residual was added,
// statistics per group of samples.
#include "kernels/epilogue.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "check.hpp"
#include "convoy/error.hpp"
#include "device_memory.hpp"
#include "nn/check_spec.hpp"
#include "nn/operation_needs.hpp"
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
  bool sums_gradient() const { return spec_.bias_gradient || (facts_.normalises_batch && facts_.wants_gradient); }
  EpilogueArgs with_statistics(const Operands& operands) const;
  EpilogueArgs backward_args(const Operands& operands) const;

  EpilogueSpec spec_;
  EpilogueFacts facts_;
  cudaStream_t stream_;
  EpilogueArgs args_;  // shapes; the pointers change from call to call
  StoredTensors stored_;
  std::size_t groups_;
  EpilogueSaved saved_;
  Needs needs_;
  bool is_at_once_ = false;  // the forward pass with the batch's statistics is one launch
  DeviceMemory counters_;    // a few words that must keep their zeros from step to step
};

Epilogue::Epilogue(const EpilogueSpec& spec, int batch, Mode mode, const Context& context)
    : spec_(spec),
      facts_(spec, mode),
      stream_(context.stream),
      stored_(spec.input.elements(), spec.output.elements(), batch, context.compute) {
  args_.shape.samples = batch;
  args_.shape.channels = spec.input.channels;
  args_.shape.height = spec.input.height;
  args_.shape.width = spec.input.width;
  args_.shape.pooled_height = spec.output.height;
  args_.shape.pooled_width = spec.output.width;
  args_.shape.pool = spec.pool;
  args_.shape.group_size = facts_.normalises_batch && spec.group_size > 0 ? std::min(spec.group_size, batch) : batch;
  args_.type = context.compute;
  args_.activation = spec.activation;
  args_.epsilon = spec.epsilon;
  args_.statistics_momentum = spec.statistics_momentum;
  CONVOY_CHECK(std::int64_t{batch} * spec.input.height * spec.input.width <= std::numeric_limits<int>::max() / 2,
               "epilogue: {} images of {}x{} are more pixels than a kernel counts; a smaller --batch helps", batch,
               spec.input.height, spec.input.width);
  is_at_once_ = facts_.normalises_batch && context.has_device_alone && epilogue_forward_fits_at_once(args_);
  groups_ = static_cast<std::size_t>((batch + args_.shape.group_size - 1) / args_.shape.group_size);

  needs_ = epilogue_needs(spec, facts_, stored_, 5 * groups_ * spec.input.channels * sizeof(float), saved_);
  if (facts_.normalises_batch || sums_gradient()) {
    needs_.workspace = epilogue_workspace(args_);
    const std::size_t bytes = epilogue_counters(args_) * sizeof(unsigned);
    counters_ = allocate_memory(bytes);
    CHECK_CUDA(cudaMemsetAsync(counters_.get(), 0, bytes, stream_));
    args_.counters = static_cast<unsigned*>(counters_.get());
  }
}

// Bytes: every tensor once per pass that needs it. Operations: a handful per element, some 25 where an exponential
// is evaluated.
Work Epilogue::work() const {
  const double in = stored_.input_bytes(), pooled = stored_.output_bytes(), elements = stored_.output;
  const double covered = pooled * spec_.pool * spec_.pool;  // of the input, by windows
  const double places = saved_.argmax == EpilogueSaved::kNone ? 0 : elements;
  const double activation = facts_.is_smooth ? 25 : spec_.activation == Activation::relu ? 1 : 0;
  Work work;
  work.forward_bytes = covered + places + pooled;
  for (const bool one_more : {saved_.pooled != EpilogueSaved::kNone, facts_.normalises_batch, spec_.residual,
                              saved_.preactivation != EpilogueSaved::kNone}) {
    if (one_more) work.forward_bytes += pooled;
  }
  const double window = spec_.pool > 1 ? spec_.pool * spec_.pool : 0;
  work.forward_flops = elements * (window + activation + (spec_.normalise ? 3 : 0) + (spec_.residual ? 1 : 0) +
                                   (facts_.normalises_batch ? 4 : 0));
  if (!facts_.trains || !facts_.wants_gradient) return work;
  const bool has_source = saved_.preactivation != EpilogueSaved::kNone || needs_.backward_reads_output;
  const double written =
      (spec_.input_gradient ? in + places : 0) + (spec_.residual && spec_.residual_gradient ? pooled : 0);
  if (spec_.normalise) {
    const double read = pooled * (has_source ? 3 : 2);
    work.backward_bytes = read + (facts_.wants_data_gradient ? read + written : 0);
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
  if (!facts_.trains) return args;
  args.row = operands.row;
  float* next = EpilogueSaved::at<float>(operands.saved, saved_.statistics);
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
  args.pooled = EpilogueSaved::at<void>(operands.saved, saved_.pooled);
  args.argmax = EpilogueSaved::at<unsigned char>(operands.saved, saved_.argmax);
  args.preactivation = EpilogueSaved::at<void>(operands.saved, saved_.preactivation);
  if (spec_.normalise) {
    args.running_mean = operands.running_mean;
    args.running_variance = operands.running_variance;
  }
  if (facts_.normalises_batch) {
    epilogue_forward(args, is_at_once_, stream_);
  } else {
    epilogue_forward_apply(args, stream_);
  }
}

EpilogueArgs Epilogue::backward_args(const Operands& operands) const {
  EpilogueArgs args = with_statistics(operands);
  args.input = spec_.pool > 1 ? EpilogueSaved::at<void>(operands.saved, saved_.pooled) : operands.input;
  args.argmax = EpilogueSaved::at<unsigned char>(operands.saved, saved_.argmax);
  args.source =
      needs_.backward_reads_output ? operands.output : EpilogueSaved::at<void>(operands.saved, saved_.preactivation);
  args.output_gradient = operands.output_gradient;
  return args;
}

// The gradients of scale, shift and bias are the sums, and are written by the kernel that makes these: backward_weights
// has nothing left to do.
void Epilogue::backward_begin(const Operands& operands) {
  if (!facts_.trains || !sums_gradient()) return;
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
  if (!facts_.trains) return;
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
