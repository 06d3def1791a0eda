// Convolution + bias + ReLU by cuDNN: forward, backward data, backward weights, each by a plan of its own.
// In fp32 and tf32 the master filters and bias are used as they are, in 16-bit types the narrow ones: engines that
// cuDNN need not compile first take a bias only in the type of the output, and fuse a ReLU only together with a bias,
// so that without one there are zeros.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "bias_gradient.hpp"
#include "cudnn/plan_chooser.hpp"
#include "device_memory.hpp"
#include "kernels/relu.hpp"
#include "nn/check_spec.hpp"
#include "nn/operation_needs.hpp"
#include "operations.hpp"

namespace convoy::cuda {
namespace {

using cudnn::Pass;

class Convolution final : public Operation {
 public:
  Convolution(const ConvSpec& spec, int batch, Mode mode, const Context& context);

  Needs needs() const override;
  Work work() const override { return convolution_work(spec_, mode_, stored_); }
  std::string implementation() const override;
  void forward(const Operands&) override;
  void backward_begin(const Operands&) override;
  void backward_weights(const Operands&) override;
  void backward_data(const Operands&) override;

 private:
  cudnn::Plan plan(Pass) const;
  bool has_relu() const { return spec_.activation == Activation::relu; }
  bool adds_bias() const { return spec_.bias || has_relu(); }
  bool is_narrow() const { return context_.compute != DType::f32; }
  std::int64_t output_rows() const { return std::int64_t{stored_.samples} * spec_.output.height * spec_.output.width; }
  std::size_t bias_bytes() const { return static_cast<std::size_t>(spec_.output.channels) * stored_.element; }
  const void* filters(const Operands& operands) const {
    return is_narrow() ? operands.narrow_weights : operands.weights;
  }
  const void* bias(const Operands& operands) const {
    if (!spec_.bias) return zeros_.get();
    return is_narrow() ? operands.narrow_bias : operands.bias;
  }

  ConvSpec spec_;
  Mode mode_;
  Context context_;
  StoredTensors stored_;
  std::optional<cudnn::Plan> forward_, data_, weights_;
  BiasGradient bias_gradient_;
  std::size_t workspace_bytes_ = 0;
  DeviceMemory zeros_;  // the bias of a ReLU without one
};

Convolution::Convolution(const ConvSpec& spec, int batch, Mode mode, const Context& context)
    : spec_(spec),
      mode_(mode),
      context_(context),
      stored_(spec.input.elements(), spec.output.elements(), batch, context.compute) {
  check(spec, batch);
  forward_ = plan(Pass::forward);
  workspace_bytes_ = forward_->workspace_bytes();
  if (adds_bias() && !spec_.bias) {
    zeros_ = allocate_memory(bias_bytes());
    CHECK_CUDA(cudaMemsetAsync(zeros_.get(), 0, bias_bytes(), context_.stream));
  }
  if (mode == Mode::evaluate) return;
  if (spec_.input_gradient) {
    data_ = plan(Pass::backward_data);
    workspace_bytes_ = std::max(workspace_bytes_, data_->workspace_bytes());
  }
  if (spec_.weights_gradient) {
    weights_ = plan(Pass::backward_weights);
    workspace_bytes_ = std::max(workspace_bytes_, weights_->workspace_bytes());
  }
  if (spec_.bias && spec_.bias_gradient) {
    bias_gradient_ = BiasGradient(output_rows(), spec_.output.channels, context_);
    workspace_bytes_ = std::max(workspace_bytes_, bias_gradient_.workspace_bytes());
  }
}

cudnn::Plan Convolution::plan(Pass pass) const {
  const cudnn::Rules rules = {.workspace_limit = context_.workspace_limit,
                              .tf32 = context_.precision == Precision::tf32,
                              .deterministic = context_.deterministic};
  return context_.plans->choose(pass_of(spec_, pass, stored_.samples, context_.compute), rules);
}

Needs Convolution::needs() const {
  Needs needs = convolution_needs(spec_, mode_, stored_);
  needs.workspace = workspace_bytes_;
  needs.narrow_gradient = weights_ && is_narrow();
  return needs;
}

std::string Convolution::implementation() const {
  std::string text = "cudnn";
  for (const auto* plan : {&forward_, &data_, &weights_}) {
    if (*plan) text += fmt::format("{}{}", plan == &forward_ ? " " : ", ", (*plan)->name());
  }
  return text;
}

void Convolution::forward(const Operands& operands) {
  forward_->execute(context_.cudnn, {operands.input, filters(operands), operands.output, bias(operands)},
                    operands.workspace);
}

void Convolution::backward_begin(const Operands& operands) {
  if (!has_relu()) return;
  relu_backward(operands.output, context_.compute, stored_.output, operands.output_gradient, context_.stream);
}

void Convolution::backward_weights(const Operands& operands) {
  if (spec_.weights_gradient) {
    void* gradient = is_narrow() ? operands.narrow_weights_gradient : operands.weights_gradient;
    weights_->execute(context_.cudnn, {operands.input, gradient, operands.output_gradient}, operands.workspace);
  }
  if (bias_gradient_.is_wanted()) {
    bias_gradient_.run(operands.output_gradient, operands.workspace, operands.bias_gradient);
  }
}

void Convolution::backward_data(const Operands& operands) {
  if (!spec_.input_gradient) return;
  data_->execute(context_.cudnn, {operands.input_gradient, filters(operands), operands.output_gradient},
                 operands.workspace);
}

}  // namespace

std::unique_ptr<Operation> plan_convolution(const ConvSpec& spec, int batch, Mode mode, const Context& context) {
  return std::make_unique<Convolution>(spec, batch, mode, context);
}

}  // namespace convoy::cuda
