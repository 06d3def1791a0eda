// Assigns names, sections and offsets to the parameters of a network bound to data.
#include "nn/parameters.hpp"

#include <algorithm>

#include "convoy/error.hpp"
#include "convoy/step_row.hpp"

namespace convoy {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 31;

class LayoutBuilder {
 public:
  LayoutBuilder(const Network& network, const Shapes& shapes) : network_(network), shapes_(shapes) {}

  ParamLayout build() {
    for (std::size_t i = 0; i < network_.layers.size(); ++i) add_layer(static_cast<int>(i));
    layout_.trainable_elements = place(Section::trainable, 0);
    layout_.communicated_elements = place(Section::statistics, layout_.trainable_elements);
    layout_.total_elements = place(Section::frozen, layout_.communicated_elements);
    return std::move(layout_);
  }

 private:
  void add_layer(int index) {
    const Layer& layer = network_.layers[static_cast<std::size_t>(index)];
    const LayerShape& shape = shapes_.layers[static_cast<std::size_t>(index)];
    const Extent input = shapes_.input_of(layer).output;
    if (layer.type == LayerType::convolution) {
      const Extent extent = {layer.kernel.height, layer.kernel.width, input.channels};
      add_weights(index, ParameterKind::filters, {shape.outputs, extent.height, extent.width, extent.channels}, extent,
                  shape.outputs * std::int64_t{extent.height} * extent.width);
    } else if (layer.type == LayerType::dense) {
      add_weights(index, ParameterKind::dense, {shape.outputs, input.elements()}, input, shape.outputs);
    } else if (layer.type == LayerType::batch_normalisation) {
      add(index, "weight", ParameterKind::scale, {input.channels}, layer.train_weights, layer.group);
      add(index, "bias", ParameterKind::shift, {input.channels}, layer.train_bias, layer.group);
      for (const auto& [suffix, kind] : {std::pair{"running_mean", ParameterKind::running_mean},
                                         std::pair{"running_var", ParameterKind::running_variance}})
        add(index, suffix, kind, {input.channels}, false, "").section = Section::statistics;
    }
  }

  void add_weights(int index, ParameterKind kind, std::vector<std::int64_t> shape, Extent extent,
                   std::int64_t fan_out) {
    const Layer& layer = network_.layers[static_cast<std::size_t>(index)];
    const std::int64_t outputs = shape[0];
    Parameter weights = add(index, "weight", kind, std::move(shape), layer.train_weights, layer.group);
    weights.extent = extent;
    weights.initialise = layer.initialise;
    weights.identity = layer.identity;
    weights.unit_std = layer.unit_std;
    weights.fan_in = extent.elements();
    weights.fan_out = fan_out;
    layout_.parameters.back() = weights;
    if (!layer.bias) return;
    Parameter& bias = add(index, "bias", ParameterKind::bias, {outputs}, layer.train_bias, layer.bias_group);
    bias.initialise = layer.initialise;
    bias.fan_in = weights.fan_in;
    bias.fan_out = weights.fan_out;
  }

  Parameter& add(int index, std::string_view suffix, ParameterKind kind, std::vector<std::int64_t> shape,
                 bool trainable, const std::string& group) {
    const Layer& layer = network_.layers[static_cast<std::size_t>(index)];
    Parameter parameter;
    parameter.name = fmt::format("{}.{}", layer.name, suffix);
    parameter.kind = kind;
    parameter.layer = index;
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    if (count >= kMaxElements)
      fail_usage("{}: {} has {} elements, at most {}", describe_place(network_, layer), parameter.name, count,
                 kMaxElements - 1);
    parameter.count = static_cast<std::size_t>(count);
    parameter.extent = {1, 1, static_cast<int>(shape.back())};
    parameter.shape = std::move(shape);
    parameter.section = trainable ? Section::trainable : Section::frozen;
    if (trainable) parameter.group = group_index(layer, group);
    return layout_.parameters.emplace_back(std::move(parameter));
  }

  int group_index(const Layer& layer, const std::string& group) {
    if (const int found = layout_.find_group(group); found >= 0) return found;
    if (layout_.groups.size() == kMaxGroups)
      fail_usage("{}: '{}' is one parameter group more than the {} that are possible", describe_place(network_, layer),
                 group, kMaxGroups);
    layout_.groups.push_back(group);
    return static_cast<int>(layout_.groups.size()) - 1;
  }

  // Lays out one section from `offset` on; returns its end.
  std::size_t place(Section section, std::size_t offset) {
    for (Parameter& parameter : layout_.parameters) {
      if (parameter.section != section) continue;
      parameter.offset = offset;
      offset += align_up(parameter.count * sizeof(float)) / sizeof(float);
    }
    return offset;
  }

  const Network& network_;
  const Shapes& shapes_;
  ParamLayout layout_;
};

}  // namespace

ParamLayout make_layout(const Network& network, const Shapes& shapes) { return LayoutBuilder(network, shapes).build(); }

int ParamLayout::find(std::string_view wanted) const {
  const auto found =
      std::find_if(parameters.begin(), parameters.end(), [&](const Parameter& p) { return p.name == wanted; });
  return found == parameters.end() ? -1 : static_cast<int>(found - parameters.begin());
}

int ParamLayout::find_group(std::string_view wanted) const {
  const auto found = std::find(groups.begin(), groups.end(), wanted);
  return found == groups.end() ? -1 : static_cast<int>(found - groups.begin());
}

int ParamLayout::of_layer(int layer, ParameterKind kind) const {
  const auto found = std::find_if(parameters.begin(), parameters.end(),
                                  [&](const Parameter& p) { return p.layer == layer && p.kind == kind; });
  return found == parameters.end() ? -1 : static_cast<int>(found - parameters.begin());
}

const Parameter& ParamLayout::at(std::size_t element) const {
  const auto found = std::ranges::find_if(parameters, [element](const Parameter& parameter) {
    return parameter.offset <= element && element < parameter.offset + parameter.count;
  });
  CONVOY_CHECK(found != parameters.end(), "element {} of the parameters is padding", element);
  return *found;
}

std::size_t ParamLayout::trainable_count() const {
  std::size_t sum = 0;
  for (const Parameter& parameter : parameters) sum += parameter.trainable() ? parameter.count : 0;
  return sum;
}

std::size_t ParamLayout::weight_count() const {
  std::size_t sum = 0;
  for (const Parameter& parameter : parameters) sum += parameter.section == Section::statistics ? 0 : parameter.count;
  return sum;
}

std::string_view name(ParameterKind kind) {
  switch (kind) {
    case ParameterKind::filters:
      return "filters";
    case ParameterKind::dense:
      return "dense";
    case ParameterKind::bias:
      return "bias";
    case ParameterKind::scale:
      return "scale";
    case ParameterKind::shift:
      return "shift";
    case ParameterKind::running_mean:
      return "running_mean";
    case ParameterKind::running_variance:
      return "running_variance";
  }
  return "?";
}

}  // namespace convoy
