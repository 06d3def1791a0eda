// Convolution + bias + ReLU by oneDNN: forward, backward data, backward weights, each in the layouts that its fast
// kernels want. Where they want other layouts than the backend's rule, reorders into the workspace lie between.
// Filters come as OHWI fp32; the compute copies are oneDNN's blocked forms.
#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "convoy/error.hpp"
#include "cpu/bias_sums.hpp"
#include "cpu/convolution_in_parts.hpp"
#include "cpu/dnnl_call.hpp"
#include "cpu/dnnl_compat.hpp"
#include "cpu/operations.hpp"
#include "cpu/weight_copies.hpp"
#include "cpu/winograd.hpp"
#include "nn/check_spec.hpp"
#include "nn/operation_needs.hpp"
#include "nn/operation_shape.hpp"

namespace convoy::cpu {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

constexpr std::size_t kWorkspace = std::size_t{256} << 20;  // bytes; more only where parts would be small
constexpr int kLeastImages = 32;                            // of a part: with fewer Winograd gains little

// One activation as the operation's neighbours have it and as one primitive wants it.
struct Side {
  memory::desc outer, inner;
  std::size_t offset = 0;  // of the inner form in the workspace
  Reorder reorder;         // inwards for what is read, outwards for what is written

  bool is_reordered() const { return reorder.is_needed(); }
};

struct Plan {
  Call call;
  std::string implementation;
  Side input, output;
  std::size_t scratch_offset = 0;
};

class Convolution final : public Operation {
 public:
  Convolution(const ConvSpec& spec, int batch, Mode mode, const Context& context);

  Needs needs() const override;
  Work work() const override { return convolution_work(spec_, mode_, stored_); }
  std::string implementation() const override;
  void refresh(const Operands&) override;
  void forward(const Operands&) override;
  void backward_begin(const Operands&) override;
  void backward_weights(const Operands&) override;
  void backward_data(const Operands&) override;

 private:
  void plan_forward();
  void plan_backward_data();
  void plan_backward_weights();
  template <typename Make>
  auto choose(Pass pass, const Make& make) const;
  void place(Plan& plan, bool reads_input, bool reads_output, std::size_t first);
  const void* bring_in(Side& side, const void* data, const Operands& operands);
  void* target(const Side& side, void* data, const Operands& operands) const;
  void bring_out(Side& side, void* data, const Operands& operands);
  // Of images one pixel wide, oneDNN's bf16 gradient of the filters takes pixels from beside them, in memory that it
  // has not written, times zero: NaN must not lie there.
  bool reads_unwritten_scratch() const { return context_.compute == DType::bf16 && spec_.input.width == 1; }
  std::byte* workspace(const Operands& operands, std::size_t offset) const {
    return static_cast<std::byte*>(operands.workspace) + offset;
  }

  ConvSpec spec_;
  Mode mode_;
  Context context_;
  StoredTensors stored_;
  compat::ConvolutionShape shape_;
  memory::desc input_, output_, master_weights_, bias_;
  std::optional<dnnl::convolution_forward::primitive_desc> forward_description_;
  Plan forward_, data_, weights_;
  ReluBackward relu_;
  WeightCopies copies_;
  Reorder gradient_;
  std::size_t workspace_bytes_ = 0;
};

Convolution::Convolution(const ConvSpec& spec, int batch, Mode mode, const Context& context)
    : spec_(spec), mode_(mode), context_(context) {
  check(spec, batch);
  stored_ = {context_.layout(spec.input).sample_elements(), context_.layout(spec.output).sample_elements(), batch,
             context.compute};
  shape_ = {{spec.stride.height, spec.stride.width},
            {spec.padding.top, spec.padding.left},
            {spec.padding.bottom, spec.padding.right}};
  input_ = activation_description(batch, spec.input, context.compute, context_);
  output_ = activation_description(batch, spec.output, context.compute, context_);
  master_weights_ = {{spec.output.channels, spec.input.channels, spec.kernel.height, spec.kernel.width},
                     memory::data_type::f32,
                     Tag::ohwi};
  bias_ = vector_description(spec.bias, spec.output.channels);

  plan_forward();
  if (mode == Mode::evaluate) return;
  if (spec_.activation == Activation::relu) relu_ = ReluBackward(output_, context_);
  if (spec_.input_gradient) plan_backward_data();
  if (spec_.weights_gradient) plan_backward_weights();
  if (!spec_.weights_gradient && spec_.bias && spec_.bias_gradient) {
    workspace_bytes_ = std::max(workspace_bytes_, bias_sums_workspace(stored_.samples, context_.layout(spec_.output)));
  }
}

// The first way in which oneDNN has more than its reference loop: Winograd where that is faster, else the direct
// convolution in the neighbours' own layouts, in those of oneDNN's choice, as planes.
template <typename Make>
auto Convolution::choose(Pass pass, const Make& make) const {
  using dnnl::algorithm;
  const auto with_tag = [this](const memory::desc& outer, Tag tag) {
    return memory::desc(compat::dimensions(outer), data_type(context_.compute), tag);
  };
  struct Candidate {
    algorithm method;
    memory::desc input, output;
  };
  std::vector<Candidate> candidates = {
      {algorithm::convolution_direct, input_, output_},
      {algorithm::convolution_direct, with_tag(input_, Tag::any), with_tag(output_, Tag::any)},
      {algorithm::convolution_direct, with_tag(input_, Tag::nchw), with_tag(output_, Tag::nchw)},
  };
  if (is_winograd_faster(spec_, stored_.samples, pass, context_)) {
    candidates.insert(candidates.begin(), {algorithm::convolution_winograd, input_, output_});
  }
  using Description = decltype(make(algorithm::convolution_direct, input_, output_));
  std::optional<Description> found;
  for (const auto& [method, input, output] : candidates) {
    try {
      Description description = make(method, input, output);
      const bool is_fast = !is_reference_implementation(description.impl_info_str());
      if (is_fast || !found) found = description;
      if (is_fast) break;
    } catch (const dnnl::error&) {
      continue;  // no implementation for these layouts
    }
  }
  CONVOY_CHECK(found.has_value(),
               "convolution: oneDNN has no implementation for {}x{}x{} -> {}x{}x{} on this processor",
               spec_.input.height, spec_.input.width, spec_.input.channels, spec_.output.height, spec_.output.width,
               spec_.output.channels);
  return *found;
}

// Lays out the plan's part of the workspace from `first` on: [input's inner form | output's inner form | scratch].
void Convolution::place(Plan& plan, bool reads_input, bool reads_output, std::size_t first) {
  std::size_t offset = first;
  for (auto [side, is_read] : {std::pair{&plan.input, reads_input}, std::pair{&plan.output, reads_output}}) {
    side->reorder = is_read ? Reorder(side->outer, side->inner, context_) : Reorder(side->inner, side->outer, context_);
    side->offset = offset;
    if (side->is_reordered()) offset += align_up(side->inner.get_size());
  }
  plan.scratch_offset = offset;
}

void Convolution::plan_forward() {
  const memory::desc any_weights(compat::dimensions(master_weights_), data_type(context_.compute), Tag::any);
  dnnl::primitive_attr attributes = planned_attributes();
  if (spec_.activation == Activation::relu) {
    dnnl::post_ops operations;
    compat::append_relu(operations);
    attributes.set_post_ops(operations);
  }
  const auto make = [&](dnnl::algorithm method, const memory::desc& input, const memory::desc& output) {
    // For inference Winograd would want filters in a form that no reorder makes of ours.
    const bool is_training = mode_ == Mode::train || method == dnnl::algorithm::convolution_winograd;
    const auto kind = is_training ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
    return compat::convolution_forward(context_.engine, kind, method, input, any_weights, bias_, output, shape_,
                                       attributes);
  };
  const auto description = choose(Pass::forward, make);
  forward_description_ = description;
  forward_.implementation = description.impl_info_str();
  forward_.input = {input_, description.src_desc(), 0, {}};
  forward_.output = {output_, description.dst_desc(), 0, {}};
  forward_.call = Call(dnnl::convolution_forward(description));
  forward_.call.declare(DNNL_ARG_SRC, description.src_desc(), context_.engine);
  forward_.call.declare(DNNL_ARG_WEIGHTS, description.weights_desc(), context_.engine);
  if (spec_.bias) forward_.call.declare(DNNL_ARG_BIAS, bias_, context_.engine);
  forward_.call.declare(DNNL_ARG_DST, description.dst_desc(), context_.engine);
  forward_.call.declare(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc(), context_.engine);
  place(forward_, true, false, 0);
  workspace_bytes_ = std::max(workspace_bytes_, forward_.scratch_offset + description.scratchpad_desc().get_size());
  copies_ = WeightCopies(master_weights_, description.weights_desc(), context_);
}

void Convolution::plan_backward_data() {
  const memory::desc any_weights(compat::dimensions(master_weights_), data_type(context_.compute), Tag::any);
  const auto make = [&](dnnl::algorithm method, const memory::desc& input, const memory::desc& output) {
    return compat::convolution_backward_data(context_.engine, method, input, any_weights, output, shape_,
                                             planned_attributes(), *forward_description_);
  };
  const auto description = choose(Pass::backward_data, make);
  data_.implementation = description.impl_info_str();
  data_.input = {input_, description.diff_src_desc(), 0, {}};
  data_.output = {output_, description.diff_dst_desc(), 0, {}};
  data_.call = Call(dnnl::convolution_backward_data(description));
  data_.call.declare(DNNL_ARG_DIFF_SRC, description.diff_src_desc(), context_.engine);
  data_.call.declare(DNNL_ARG_WEIGHTS, description.weights_desc(), context_.engine);
  data_.call.declare(DNNL_ARG_DIFF_DST, description.diff_dst_desc(), context_.engine);
  data_.call.declare(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc(), context_.engine);
  place(data_, false, true, 0);
  workspace_bytes_ = std::max(workspace_bytes_, data_.scratch_offset + description.scratchpad_desc().get_size());
  copies_.add_backward(description.weights_desc(), context_);
}

void Convolution::plan_backward_weights() {
  // Gradients leave in fp32 whatever the compute type.
  const memory::desc any_weights(compat::dimensions(master_weights_), memory::data_type::f32, Tag::any);
  const memory::desc bias = vector_description(spec_.bias && spec_.bias_gradient, spec_.output.channels);
  const auto make = [&](dnnl::algorithm method, const memory::desc& input, const memory::desc& output) {
    return compat::convolution_backward_weights(context_.engine, method, input, any_weights, bias, output, shape_,
                                                planned_attributes(), *forward_description_);
  };
  const auto description = choose(Pass::backward_weights, make);
  weights_.implementation = description.impl_info_str();
  weights_.input = {input_, description.src_desc(), 0, {}};
  weights_.output = {output_, description.diff_dst_desc(), 0, {}};
  weights_.call = Call(dnnl::convolution_backward_weights(description));
  weights_.call.declare(DNNL_ARG_SRC, description.src_desc(), context_.engine);
  weights_.call.declare(DNNL_ARG_DIFF_DST, description.diff_dst_desc(), context_.engine);
  weights_.call.declare(DNNL_ARG_DIFF_WEIGHTS, description.diff_weights_desc(), context_.engine);
  if (!compat::is_empty(bias)) weights_.call.declare(DNNL_ARG_DIFF_BIAS, bias, context_.engine);
  weights_.call.declare(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc(), context_.engine);
  gradient_ = Reorder(description.diff_weights_desc(), master_weights_, context_);
  place(weights_, true, true, gradient_.is_needed() ? align_up(description.diff_weights_desc().get_size()) : 0);
  workspace_bytes_ = std::max(workspace_bytes_, weights_.scratch_offset + description.scratchpad_desc().get_size());
}

Needs Convolution::needs() const {
  Needs needs = convolution_needs(spec_, mode_, stored_);
  needs.workspace = workspace_bytes_;
  needs.weight_copies = copies_.bytes();
  return needs;
}

std::string Convolution::implementation() const {
  std::string text = forward_.implementation;
  for (const Plan* plan : {&data_, &weights_}) {
    if (text.find(plan->implementation) == std::string::npos) {
      text += ", " + plan->implementation;
    }
  }
  return text;
}

// `data` as the primitive wants it, turned into the workspace where that is another form.
const void* Convolution::bring_in(Side& side, const void* data, const Operands& operands) {
  if (!side.is_reordered()) return data;
  side.reorder.run(data, workspace(operands, side.offset), context_);
  return workspace(operands, side.offset);
}

// Where the primitive writes what `bring_out` then turns into `data`.
void* Convolution::target(const Side& side, void* data, const Operands& operands) const {
  return side.is_reordered() ? workspace(operands, side.offset) : data;
}

void Convolution::bring_out(Side& side, void* data, const Operands& operands) {
  if (side.is_reordered()) side.reorder.run(workspace(operands, side.offset), data, context_);
}

void Convolution::refresh(const Operands& operands) { copies_.refresh(operands, context_); }

void Convolution::forward(const Operands& operands) {
  forward_.call.bind(DNNL_ARG_SRC, bring_in(forward_.input, operands.input, operands));
  forward_.call.bind(DNNL_ARG_WEIGHTS, copies_.forward(operands));
  forward_.call.bind(DNNL_ARG_BIAS, operands.bias);
  forward_.call.bind(DNNL_ARG_DST, target(forward_.output, operands.output, operands));
  forward_.call.bind(DNNL_ARG_SCRATCHPAD, workspace(operands, forward_.scratch_offset));
  forward_.call.execute(context_);
  bring_out(forward_.output, operands.output, operands);
}

void Convolution::backward_begin(const Operands& operands) {
  relu_.run(operands.output, operands.output_gradient, context_);
}

void Convolution::backward_weights(const Operands& operands) {
  if (!spec_.weights_gradient) {
    if (spec_.bias && spec_.bias_gradient) {
      bias_sums(operands.output_gradient, stored_.samples, context_.layout(spec_.output), operands.workspace,
                operands.bias_gradient, context_);
    }
    return;
  }
  if (reads_unwritten_scratch()) std::memset(operands.workspace, 0, workspace_bytes_);
  void* gradient = gradient_.is_needed() ? operands.workspace : operands.weights_gradient;
  weights_.call.bind(DNNL_ARG_SRC, bring_in(weights_.input, operands.input, operands));
  weights_.call.bind(DNNL_ARG_DIFF_DST, bring_in(weights_.output, operands.output_gradient, operands));
  weights_.call.bind(DNNL_ARG_DIFF_WEIGHTS, gradient);
  weights_.call.bind(DNNL_ARG_DIFF_BIAS, operands.bias_gradient);
  weights_.call.bind(DNNL_ARG_SCRATCHPAD, workspace(operands, weights_.scratch_offset));
  weights_.call.execute(context_);
  if (gradient_.is_needed()) gradient_.run(gradient, operands.weights_gradient, context_);
}

void Convolution::backward_data(const Operands& operands) {
  if (!spec_.input_gradient) return;
  data_.call.bind(DNNL_ARG_DIFF_SRC, target(data_.input, operands.input_gradient, operands));
  data_.call.bind(DNNL_ARG_WEIGHTS, copies_.backward(operands));
  data_.call.bind(DNNL_ARG_DIFF_DST, bring_in(data_.output, operands.output_gradient, operands));
  data_.call.bind(DNNL_ARG_SCRATCHPAD, workspace(operands, data_.scratch_offset));
  data_.call.execute(context_);
  bring_out(data_.input, operands.input_gradient, operands);
}

}  // namespace

// What a pass needs beside its tensors, above all Winograd's algorithm, grows with the images at hand: where it would
// be more than kWorkspace, they are taken in parts.
std::unique_ptr<Operation> plan_convolution(const ConvSpec& spec, int batch, Mode mode, const Context& context) {
  auto whole = std::make_unique<Convolution>(spec, batch, mode, context);
  const std::size_t bytes = whole->needs().workspace;
  if (bytes <= kWorkspace) return whole;
  for (int parts = static_cast<int>(bytes / kWorkspace) + 1; batch / parts >= kLeastImages; ++parts) {
    if (batch % parts != 0) continue;
    auto part = std::make_unique<Convolution>(spec, batch / parts, mode, context);
    if (part->needs().workspace <= kWorkspace) {
      return repeat_convolution(std::move(part), batch / parts, parts, shape_of(spec), context);
    }
  }
  Context direct = context;
  direct.winograd = false;
  return std::make_unique<Convolution>(spec, batch, mode, direct);
}

}  // namespace convoy::cpu
