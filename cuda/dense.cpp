// Dense + bias + ReLU by cuBLASLt. An activation [N,H,W,C] lies as the rows [N, H*W*C] that the product wants, weights
// as [O, H*W*C]. Gradients of weights leave the product in fp32 whatever the compute type, so nothing widens them.
#include <algorithm>

#include "bias_gradient.hpp"
#include "kernels/relu.hpp"
#include "matrix_product.hpp"
#include "nn/check_spec.hpp"
#include "nn/operation_needs.hpp"
#include "operations.hpp"

namespace convoy::cuda {
namespace {

class Dense final : public Operation {
 public:
  Dense(const DenseSpec& spec, int batch, Mode mode, const Context& context);

  Needs needs() const override;
  Work work() const override { return dense_work(spec_, mode_, stored_); }
  std::string implementation() const override { return forward_.algorithm(); }
  void forward(const Operands&) override;
  void backward_begin(const Operands&) override;
  void backward_weights(const Operands&) override;
  void backward_data(const Operands&) override;

 private:
  DType output_type() const { return spec_.float_output ? DType::f32 : context_.compute; }
  const void* compute_weights(const Operands& operands) const {
    return context_.compute != DType::f32 ? operands.narrow_weights : operands.weights;
  }
  const void* compute_bias(const Operands& operands) const {
    return output_type() != DType::f32 ? operands.narrow_bias : operands.bias;
  }

  DenseSpec spec_;
  Mode mode_;
  Context context_;
  StoredTensors stored_;
  MatrixProduct forward_, data_, weights_;
  BiasGradient bias_gradient_;
};

Dense::Dense(const DenseSpec& spec, int batch, Mode mode, const Context& context)
    : spec_(spec),
      mode_(mode),
      context_(context),
      stored_(spec.input.elements(), spec.outputs, batch, context.compute) {
  check(spec, batch, context.compute);
  const auto inputs = static_cast<int>(spec.input.elements());
  const bool trains = mode == Mode::train;
  const bool tf32 = context.precision == Precision::tf32;
  forward_ = MatrixProduct({.m = batch,
                            .n = spec.outputs,
                            .k = inputs,
                            .transpose_b = true,
                            .factors = context.compute,
                            .result = output_type(),
                            .tf32 = tf32,
                            .bias = spec.bias,
                            .relu = spec.activation == Activation::relu},
                           context);
  if (trains && spec.weights_gradient) {
    weights_ = MatrixProduct({.m = spec.outputs,
                              .n = inputs,
                              .k = batch,
                              .transpose_a = true,
                              .factors = context.compute,
                              .result = DType::f32,
                              .tf32 = tf32},
                             context);
  }
  if (trains && spec.bias && spec.bias_gradient) bias_gradient_ = BiasGradient(batch, spec.outputs, context);
  if (trains && spec.input_gradient) {
    data_ = MatrixProduct({.m = batch,
                           .n = inputs,
                           .k = spec.outputs,
                           .factors = context.compute,
                           .result = context.compute,
                           .tf32 = tf32},
                          context);
  }
}

Needs Dense::needs() const {
  Needs needs = dense_needs(spec_, mode_, stored_);
  needs.workspace = std::max({forward_.workspace_bytes(), weights_.workspace_bytes(), data_.workspace_bytes(),
                              bias_gradient_.workspace_bytes()});
  return needs;
}

void Dense::forward(const Operands& operands) {
  forward_.run({.a = operands.input,
                .b = compute_weights(operands),
                .d = operands.output,
                .bias = compute_bias(operands),
                .workspace = operands.workspace});
}

void Dense::backward_begin(const Operands& operands) {
  if (spec_.activation != Activation::relu) return;
  relu_backward(operands.output, context_.compute, stored_.output, operands.output_gradient, context_.stream);
}

void Dense::backward_weights(const Operands& operands) {
  if (spec_.weights_gradient) {
    weights_.run({.a = operands.output_gradient,
                  .b = operands.input,
                  .d = operands.weights_gradient,
                  .workspace = operands.workspace});
  }
  if (bias_gradient_.is_wanted()) {
    bias_gradient_.run(operands.output_gradient, operands.workspace, operands.bias_gradient);
  }
}

void Dense::backward_data(const Operands& operands) {
  if (!spec_.input_gradient) return;
  data_.run({.a = operands.output_gradient,
             .b = compute_weights(operands),
             .d = operands.input_gradient,
             .workspace = operands.workspace});
}

}  // namespace

std::unique_ptr<Operation> plan_dense(const DenseSpec& spec, int batch, Mode mode, const Context& context) {
  return std::make_unique<Dense>(spec, batch, mode, context);
}

}  // namespace convoy::cuda
