// Dense + bias + ReLU by oneDNN's inner product. The input may be an activation [N,H,W,C] in the backend's layout:
// oneDNN lays the weights to match, so nothing is flattened. Weights come as [O, H*W*C] fp32.
#include <algorithm>
#include <optional>
#include <string>

#include "cpu/bias_sums.hpp"
#include "cpu/dnnl_call.hpp"
#include "cpu/dnnl_compat.hpp"
#include "cpu/operations.hpp"
#include "cpu/weight_copies.hpp"
#include "nn/check_spec.hpp"
#include "nn/operation_needs.hpp"

namespace convoy::cpu {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

class Dense final : public Operation {
 public:
  Dense(const DenseSpec& spec, int batch, Mode mode, const Context& context);

  Needs needs() const override;
  Work work() const override { return dense_work(spec_, mode_, stored_); }
  std::string implementation() const override { return implementation_; }
  void refresh(const Operands&) override;
  void forward(const Operands&) override;
  void backward_begin(const Operands&) override;
  void backward_weights(const Operands&) override;
  void backward_data(const Operands&) override;

 private:
  void plan_forward();
  void plan_backward();
  Layout output_layout() const { return {1, spec_.outputs, 1, 1, spec_.outputs}; }

  DenseSpec spec_;
  Mode mode_;
  Context context_;
  StoredTensors stored_;
  memory::desc input_, output_, output_gradient_, master_weights_, planned_weights_, bias_;
  Tag weights_tag_ = Tag::any;
  std::optional<dnnl::inner_product_forward::primitive_desc> description_;
  std::string implementation_;
  Call forward_, data_, weights_;
  ReluBackward relu_;
  WeightCopies copies_;
  Reorder gradient_;
  std::size_t gradient_bytes_ = 0;  // of oneDNN's form of the weights' gradient, first in the workspace
  std::size_t workspace_bytes_ = 0;
};

Dense::Dense(const DenseSpec& spec, int batch, Mode mode, const Context& context)
    : spec_(spec), mode_(mode), context_(context) {
  check(spec, batch, context.compute);
  stored_ = {context_.layout(spec.input).sample_elements(), spec.outputs, batch, context.compute};
  input_ = activation_description(batch, spec.input, context.compute, context_);
  const auto compute = data_type(context.compute);
  output_ = {{batch, spec.outputs}, spec.float_output ? memory::data_type::f32 : compute, Tag::nc};
  output_gradient_ = {{batch, spec.outputs}, compute, Tag::nc};
  const memory::dims dimensions = {spec.outputs, spec.input.channels, spec.input.height, spec.input.width};
  master_weights_ = {dimensions, memory::data_type::f32, Tag::ohwi};
  // Rows that lie like the input's channels: all three products take them so, and turning the master weights into this
  // form and gradients back moves whole runs of channels. oneDNN's own choice costs more to turn than it saves.
  if (context_.is_native(spec.input)) weights_tag_ = native_tag(context_);
  planned_weights_ = {dimensions, compute, weights_tag_};
  bias_ = vector_description(spec.bias, spec.outputs);
  plan_forward();
  if (mode == Mode::train) plan_backward();
}

void Dense::plan_forward() {
  dnnl::primitive_attr attributes = planned_attributes();
  if (spec_.activation == Activation::relu) {
    dnnl::post_ops operations;
    compat::append_relu(operations);
    attributes.set_post_ops(operations);
  }
  const auto kind = mode_ == Mode::train ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
  description_ = compat::dense_forward(context_.engine, kind, input_, planned_weights_, bias_, output_, attributes);
  implementation_ = description_->impl_info_str();
  forward_ = Call(dnnl::inner_product_forward(*description_));
  forward_.declare(DNNL_ARG_SRC, input_, context_.engine);
  forward_.declare(DNNL_ARG_WEIGHTS, description_->weights_desc(), context_.engine);
  if (spec_.bias) forward_.declare(DNNL_ARG_BIAS, bias_, context_.engine);
  forward_.declare(DNNL_ARG_DST, output_, context_.engine);
  forward_.declare(DNNL_ARG_SCRATCHPAD, description_->scratchpad_desc(), context_.engine);
  workspace_bytes_ = description_->scratchpad_desc().get_size();
  copies_ = WeightCopies(master_weights_, description_->weights_desc(), context_);
}

void Dense::plan_backward() {
  const dnnl::primitive_attr attributes = planned_attributes();
  if (spec_.activation == Activation::relu) relu_ = ReluBackward(output_gradient_, context_);
  // The hint is a forward pass whose output has the gradient's type.
  const auto hint = compat::dense_forward(context_.engine, dnnl::prop_kind::forward_training, input_, planned_weights_,
                                          bias_, output_gradient_, attributes);
  if (spec_.input_gradient) {
    const auto data =
        compat::dense_backward_data(context_.engine, input_, planned_weights_, output_gradient_, attributes, hint);
    data_ = Call(dnnl::inner_product_backward_data(data));
    data_.declare(DNNL_ARG_DIFF_SRC, input_, context_.engine);
    data_.declare(DNNL_ARG_WEIGHTS, data.weights_desc(), context_.engine);
    data_.declare(DNNL_ARG_DIFF_DST, output_gradient_, context_.engine);
    data_.declare(DNNL_ARG_SCRATCHPAD, data.scratchpad_desc(), context_.engine);
    workspace_bytes_ = std::max(workspace_bytes_, data.scratchpad_desc().get_size());
    copies_.add_backward(data.weights_desc(), context_);
  }
  if (spec_.weights_gradient) {
    const memory::desc gradient(compat::dimensions(master_weights_), memory::data_type::f32, weights_tag_);
    const memory::desc bias = vector_description(spec_.bias && spec_.bias_gradient, spec_.outputs);
    const auto weights =
        compat::dense_backward_weights(context_.engine, input_, gradient, bias, output_gradient_, attributes, hint);
    weights_ = Call(dnnl::inner_product_backward_weights(weights));
    weights_.declare(DNNL_ARG_SRC, input_, context_.engine);
    weights_.declare(DNNL_ARG_DIFF_DST, output_gradient_, context_.engine);
    weights_.declare(DNNL_ARG_DIFF_WEIGHTS, weights.diff_weights_desc(), context_.engine);
    if (!compat::is_empty(bias)) weights_.declare(DNNL_ARG_DIFF_BIAS, bias, context_.engine);
    weights_.declare(DNNL_ARG_SCRATCHPAD, weights.scratchpad_desc(), context_.engine);
    gradient_ = Reorder(weights.diff_weights_desc(), master_weights_, context_);
    gradient_bytes_ = gradient_.is_needed() ? align_up(weights.diff_weights_desc().get_size()) : 0;
    workspace_bytes_ = std::max(workspace_bytes_, gradient_bytes_ + weights.scratchpad_desc().get_size());
  } else if (spec_.bias && spec_.bias_gradient) {
    workspace_bytes_ = std::max(workspace_bytes_, bias_sums_workspace(stored_.samples, output_layout()));
  }
}

Needs Dense::needs() const {
  Needs needs = dense_needs(spec_, mode_, stored_);
  needs.workspace = workspace_bytes_;
  needs.weight_copies = copies_.bytes();
  return needs;
}

void Dense::refresh(const Operands& operands) { copies_.refresh(operands, context_); }

void Dense::forward(const Operands& operands) {
  forward_.bind(DNNL_ARG_SRC, operands.input);
  forward_.bind(DNNL_ARG_WEIGHTS, copies_.forward(operands));
  forward_.bind(DNNL_ARG_BIAS, operands.bias);
  forward_.bind(DNNL_ARG_DST, operands.output);
  forward_.bind(DNNL_ARG_SCRATCHPAD, operands.workspace);
  forward_.execute(context_);
}

void Dense::backward_begin(const Operands& operands) { relu_.run(operands.output, operands.output_gradient, context_); }

void Dense::backward_weights(const Operands& operands) {
  if (!spec_.weights_gradient) {
    if (spec_.bias && spec_.bias_gradient) {
      bias_sums(operands.output_gradient, stored_.samples, output_layout(), operands.workspace, operands.bias_gradient,
                context_);
    }
    return;
  }
  void* gradient = gradient_.is_needed() ? operands.workspace : operands.weights_gradient;
  weights_.bind(DNNL_ARG_SRC, operands.input);
  weights_.bind(DNNL_ARG_DIFF_DST, operands.output_gradient);
  weights_.bind(DNNL_ARG_DIFF_WEIGHTS, gradient);
  weights_.bind(DNNL_ARG_DIFF_BIAS, operands.bias_gradient);
  weights_.bind(DNNL_ARG_SCRATCHPAD, static_cast<std::byte*>(operands.workspace) + gradient_bytes_);
  weights_.execute(context_);
  if (gradient_.is_needed()) gradient_.run(gradient, operands.weights_gradient, context_);
}

void Dense::backward_data(const Operands& operands) {
  if (!spec_.input_gradient) return;
  data_.bind(DNNL_ARG_DIFF_SRC, operands.input_gradient);
  data_.bind(DNNL_ARG_WEIGHTS, copies_.backward(operands));
  data_.bind(DNNL_ARG_DIFF_DST, operands.output_gradient);
  data_.bind(DNNL_ARG_SCRATCHPAD, operands.workspace);
  data_.execute(context_);
}

}  // namespace

std::unique_ptr<Operation> plan_dense(const DenseSpec& spec, int batch, Mode mode, const Context& context) {
  return std::make_unique<Dense>(spec, batch, mode, context);
}

}  // namespace convoy::cpu
