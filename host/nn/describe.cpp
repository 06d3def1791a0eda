// The tables of `convoy info --model`.
#include "nn/describe.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace convoy {
namespace {

std::string text(const Extent& extent) { return fmt::format("{}x{}x{}", extent.height, extent.width, extent.channels); }

std::string text(const Size2& size) { return fmt::format("{}x{}", size.height, size.width); }

std::string text(const Padding& padding) {
  if (padding == Padding{}) return "";
  const bool is_even = padding.top == padding.bottom && padding.left == padding.right && padding.top == padding.left;
  if (is_even) return fmt::format(", padding {}", padding.top);
  return fmt::format(", padding {} {} {} {}", padding.top, padding.bottom, padding.left, padding.right);
}

std::string_view text(Activation activation) {
  switch (activation) {
    case Activation::none:
      return "";
    case Activation::relu:
      return ", relu";
    case Activation::gelu:
      return ", gelu";
    case Activation::silu:
      return ", silu";
  }
  return "";
}

std::string stride_text(const Size2& stride) {
  return stride == Size2{} ? std::string() : fmt::format(", stride {}", text(stride));
}

std::string text(const ConvSpec& spec) {
  return fmt::format("convolution {}{}{}{}{}", text(spec.kernel), stride_text(spec.stride), text(spec.padding),
                     spec.bias ? ", bias" : "", text(spec.activation));
}

std::string text(const EpilogueSpec& spec) {
  std::string parts;
  if (spec.pool > 1) parts += fmt::format(", max-pool {}", spec.pool);
  if (spec.normalise) parts += ", normalise";
  if (spec.residual) parts += ", add";
  parts += text(spec.activation);
  return parts.substr(std::min<std::size_t>(2, parts.size()));
}

std::string text(const PoolSpec& spec) {
  const bool is_global = spec.kernel == Size2{spec.input.height, spec.input.width};
  return fmt::format("{}-pool {}{}{}", spec.kind == PoolSpec::Kind::max ? "max" : "average", text(spec.kernel),
                     is_global ? std::string() : stride_text(spec.stride), text(spec.padding));
}

std::string text(const DenseSpec& spec) {
  return fmt::format("dense{}{}{}", spec.bias ? ", bias" : "", text(spec.activation),
                     spec.float_output ? ", fp32 logits" : "");
}

std::string text(const DropoutSpec& spec) { return fmt::format("dropout {}", spec.rate); }

Extent output_of(const OperationSpec& spec) {
  return std::visit(
      [](const auto& s) -> Extent {
        if constexpr (requires { s.outputs; })
          return {1, 1, s.outputs};
        else if constexpr (requires { s.output; })
          return s.output;
        else
          return s.input;
      },
      spec);
}

// 12345678 -> "12,345,678".
std::string grouped(std::size_t number) {
  std::string digits = std::to_string(number);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(static_cast<std::size_t>(i), ",");
  return digits;
}

std::string mega(double flops) { return flops == 0 ? "" : fmt::format("{:.2f}", flops / 1e6); }

std::string options_of(const Layer& layer, const LayerShape& shape) {
  std::string options;
  switch (layer.type) {
    case LayerType::convolution:
    case LayerType::max_pool:
    case LayerType::average_pool:
      options = text(layer.kernel) + (layer.stride == layer.kernel ? "" : stride_text(layer.stride));
      options += text(shape.padding);
      break;
    case LayerType::dropout:
      options = fmt::format("{}", layer.rate);
      break;
    case LayerType::scale:
      options = fmt::format("{}", layer.factor);
      break;
    case LayerType::batch_normalisation:
      options = fmt::format("epsilon {}, momentum {}{}{}", layer.epsilon, layer.momentum,
                            layer.train_weights ? "" : ", scale 1", layer.train_bias ? "" : ", shift 0");
      break;
    default:
      break;
  }
  const bool has_weights = layer.type == LayerType::convolution || layer.type == LayerType::dense;
  if (has_weights && !layer.train_weights) options += ", frozen";
  return options;
}

}  // namespace

Flops flops(const OperationSpec& spec) {
  double forward = 0;
  bool weights = false;
  if (const auto* conv = std::get_if<ConvSpec>(&spec)) {
    forward = 2.0 * static_cast<double>(conv->output.elements()) * conv->kernel.height * conv->kernel.width *
              conv->input.channels;
    weights = conv->weights_gradient;
  } else if (const auto* dense = std::get_if<DenseSpec>(&spec)) {
    forward = 2.0 * static_cast<double>(dense->input.elements()) * dense->outputs;
    weights = dense->weights_gradient;
  }
  return {forward, forward * (1 + (weights ? 1 : 0) + (input_gradient(spec) ? 1 : 0))};
}

Flops flops(const LoweredNetwork& lowered) {
  Flops sum;
  for (const LoweredOperation& operation : lowered.operations) {
    const Flops one = flops(operation.spec);
    sum.forward += one.forward;
    sum.training += one.training;
  }
  return sum;
}

std::string describe(const OperationSpec& spec) {
  const Extent input = std::visit([](const auto& s) { return s.input; }, spec);
  return fmt::format("{} -> {}  {}", text(input), text(output_of(spec)),
                     std::visit([](const auto& s) { return text(s); }, spec));
}

std::string describe(const Network& network, const Shapes& shapes, const ParamLayout& layout,
                     const LoweredNetwork& lowered) {
  std::size_t width = 8;
  for (const Layer& layer : network.layers) width = std::max(width, layer.name.size());
  std::string out = fmt::format("{} ({}): input {}, {} classes\n\n", network.name, network.origin, text(shapes.input),
                                shapes.classes);
  out += fmt::format("{:<{}}  {:<20} {:>12} {:>12}  {}\n", "layer", width, "type", "output", "parameters", "options");
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    std::size_t parameters = 0;
    for (const Parameter& p : layout.parameters)
      if (p.layer == static_cast<int>(i) && p.section != Section::statistics) parameters += p.count;
    const Extent& extent = shapes.layers[i].output;
    const std::string output = shapes.layers[i].flat ? std::to_string(extent.elements()) : text(extent);
    std::string line = fmt::format("{:<{}}  {:<20} {:>12} {:>12}  {}", layer.name, width, name(layer.type), output,
                                   parameters == 0 ? "" : grouped(parameters), options_of(layer, shapes.layers[i]));
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  const Flops work = flops(lowered);
  out += fmt::format("\nparameters: {} ({} trainable); groups:", grouped(layout.weight_count()),
                     grouped(layout.trainable_count()));
  for (const std::string& group : layout.groups) {
    std::size_t count = 0;
    for (const Parameter& p : layout.parameters)
      if (p.group == layout.find_group(group)) count += p.count;
    out += fmt::format("{} {} {}", &group == &layout.groups.front() ? "" : ",", group, grouped(count));
  }
  out += fmt::format(
      "\nwork per image: {:.2f} MFLOP forward, {:.2f} MFLOP training (convolutions and dense layers; a multiply-add "
      "is two)\n\n",
      work.forward / 1e6, work.training / 1e6);

  out += fmt::format("{:<{}}  {:>9} {:>9}  {}\n", "operation", width, "forward", "training", "MFLOP; what it does");
  for (const LoweredOperation& operation : lowered.operations) {
    const Flops one = flops(operation.spec);
    out += fmt::format("{:<{}}  {:>9} {:>9}  {}\n", operation.name, width, mega(one.forward), mega(one.training),
                       describe(operation.spec));
  }
  if (lowered.logit_scale != 1) out += fmt::format("logits are multiplied by {} in the loss\n", lowered.logit_scale);
  return out;
}

}  // namespace convoy
