// Dense + bias + ReLU by cuBLASLt. An activation [N,H,W,C] lies as the rows [N, H*W*C] that the product wants, weights
// as [O, H*W*C]. Gradients of weights leave the product in fp32 whatever the compute type, so nothing widens them.
#include <algorithm>

#include "bias_gradient.hpp"
#include "kernels/relu.hpp"
#include "matrix_product.hpp"
#include "nn/check_spec.hpp"
#include "operations.hpp"

namespace convoy::cuda {
namespace {

class Dense final : public Operation {
 public:
  Dense(const DenseSpec& spec, int batch, Mode mode, const Context& context);

  Needs needs() const override;
  Work work() const override;
  std::string implementation() const override { return forward_.algorithm(); }
  void forward(const Operands&) override;
  void backward_begin(const Operands&) override;
  void backward_weights(const Operands&) override;
  void backward_data(const Operands&) override;

 private:
  DType output_type() const { return spec_.float_output ? DType::f32 : context_.compute; }
  std::size_t inputs() const { return static_cast<std::size_t>(spec_.input.elements()); }
  std::size_t weights() const { return inputs() * static_cast<std::size_t>(spec_.outputs); }
  std::size_t outputs() const { return static_cast<std::size_t>(batch_) * static_cast<std::size_t>(spec_.outputs); }
  std::size_t input_bytes() const { return static_cast<std::size_t>(batch_) * inputs() * element_bytes_; }
  const void* compute_weights(const Operands& operands) const {
    return context_.compute != DType::f32 ? operands.narrow_weights : operands.weights;
  }
  const void* compute_bias(const Operands& operands) const {
    return output_type() != DType::f32 ? operands.narrow_bias : operands.bias;
  }

  DenseSpec spec_;
  int batch_;
  bool trains_;
  Context context_;
  std::size_t element_bytes_;
  MatrixProduct forward_, data_, weights_;
  BiasGradient bias_gradient_;
};

Dense::Dense(const DenseSpec& spec, int batch, Mode mode, const Context& context)
    : spec_(spec),
      batch_(batch),
      trains_(mode == Mode::train),
      context_(context),
      element_bytes_(bytes_per_element(context.compute)) {
  check(spec, batch, context.compute);
  const auto inputs = static_cast<int>(spec.input.elements());
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
  if (trains_ && spec.weights_gradient) {
    weights_ = MatrixProduct({.m = spec.outputs,
                              .n = inputs,
                              .k = batch,
                              .transpose_a = true,
                              .factors = context.compute,
                              .result = DType::f32,
                              .tf32 = tf32},
                             context);
  }
  if (trains_ && spec.bias && spec.bias_gradient) bias_gradient_ = BiasGradient(batch, spec.outputs, context);
  if (trains_ && spec.input_gradient) {
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
  Needs needs;
  needs.output = outputs() * bytes_per_element(output_type());
  needs.input_gradient = trains_ && spec_.input_gradient ? input_bytes() : 0;
  needs.workspace = std::max({forward_.workspace_bytes(), weights_.workspace_bytes(), data_.workspace_bytes(),
                              bias_gradient_.workspace_bytes()});
  needs.backward_reads_input = trains_ && spec_.weights_gradient;
  needs.backward_reads_output = trains_ && spec_.activation == Activation::relu;
  return needs;
}

Work Dense::work() const {
  const double flops = 2.0 * batch_ * static_cast<double>(weights());
  const auto bytes =
      static_cast<double>(input_bytes() + outputs() * bytes_per_element(output_type()) + weights() * element_bytes_);
  Work work{flops, 0, bytes, 0};
  if (!trains_) return work;
  const auto gradient_bytes = static_cast<double>(outputs() * element_bytes_);
  if (spec_.weights_gradient) {
    work.backward_flops += flops;
    work.backward_bytes +=
        static_cast<double>(input_bytes()) + gradient_bytes + static_cast<double>(weights() * sizeof(float));
  }
  if (spec_.input_gradient) {
    work.backward_flops += flops;
    work.backward_bytes += static_cast<double>(input_bytes() + weights() * element_bytes_) + gradient_bytes;
  }
  return work;
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
  relu_backward(operands.output, context_.compute, outputs(), operands.output_gradient, context_.stream);
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
