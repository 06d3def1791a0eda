// The network layer by layer, not as it is lowered: whoever runs it fuses as it likes.
// Field numbers are those of onnx.proto.
#include "nn/onnx.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numbers>
#include <span>

#include "convoy/error.hpp"
#include "io/build_info.hpp"
#include "io/protobuf_writer.hpp"

namespace convoy {
namespace {

constexpr int kIrVersion = 8, kOperatorSet = 17;  // of 2022: what runtimes since then read
constexpr int kFloat = 1;                         // TensorProto.DataType
constexpr const char* kInput = "images";
constexpr const char* kOutput = "logits";

using Names = std::vector<std::string>;
using Sizes = std::vector<std::int64_t>;

ProtobufWriter integers(const char* name, const Sizes& values) {
  ProtobufWriter attribute;
  attribute.text(1, name);
  for (const std::int64_t value : values) attribute.integer(8, value);
  return attribute.integer(20, 7);
}

ProtobufWriter integer(const char* name, std::int64_t value) {
  return ProtobufWriter().text(1, name).integer(3, value).integer(20, 2);
}

ProtobufWriter real(const char* name, float value) {
  return ProtobufWriter().text(1, name).real(2, value).integer(20, 1);
}

// A float value of the graph's edge; the first size is any.
ProtobufWriter value_info(const char* name, const Sizes& sizes) {
  ProtobufWriter shape;
  shape.message(1, ProtobufWriter().text(2, "N"));
  for (const std::int64_t size : sizes) shape.message(1, ProtobufWriter().integer(1, size));
  ProtobufWriter tensor;
  tensor.integer(1, kFloat).message(2, shape);
  return ProtobufWriter().text(1, name).message(2, ProtobufWriter().message(1, tensor));
}

class Graph {
 public:
  explicit Graph(const OnnxSource& source) : source_(source) {}

  ProtobufWriter build() {
    const Extent& input = source_.shapes.input;
    const Sizes image{static_cast<std::int64_t>(source_.mean.size()), input.height, input.width};
    std::vector<std::string> outputs;  // of each layer
    const std::string pixels = normalised();
    for (std::size_t i = 0; i < source_.network.layers.size(); ++i) {
      const Layer& layer = source_.network.layers[i];
      Names inputs;
      for (const int from : layer.inputs) {
        inputs.push_back(from == kNetworkInput ? pixels : outputs[static_cast<std::size_t>(from)]);
      }
      output_ = i + 1 == source_.network.layers.size() ? kOutput : "layer:" + layer.name;
      outputs.push_back(add_layer(static_cast<int>(i), inputs));
    }
    graph_.text(2, source_.network.name);
    graph_.message(11, value_info(kInput, image));
    graph_.message(12, value_info(kOutput, {source_.shapes.classes}));
    return graph_;
  }

 private:
  // Everything returns the name of the value that it made.
  std::string node(const char* type, const Names& inputs, const std::string& output,
                   const std::vector<ProtobufWriter>& attributes = {}) {
    ProtobufWriter node;
    for (const std::string& input : inputs) node.text(1, input);
    node.text(2, output).text(3, output).text(4, type);
    for (const ProtobufWriter& attribute : attributes) node.message(5, attribute);
    graph_.message(1, node);
    return output;
  }

  std::string tensor(const std::string& name, const Sizes& sizes, std::span<const float> values) {
    ProtobufWriter tensor;
    for (const std::int64_t size : sizes) tensor.integer(1, size);
    tensor.integer(2, kFloat).text(8, name);
    tensor.text(9, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});  // little-endian, as we are
    graph_.message(5, tensor);
    return name;
  }

  std::string constant(const std::string& name, float value) { return tensor(name, {}, {&value, 1}); }

  std::string normalised() {
    std::vector<float> mean, deviation;
    for (std::size_t c = 0; c < source_.mean.size(); ++c) {
      mean.push_back(static_cast<float>(source_.mean[c]));
      // A channel that never changes is left as it is, shifted to zero.
      deviation.push_back(source_.deviation[c] > 0 ? static_cast<float>(source_.deviation[c]) : 1.0F);
    }
    const Sizes sizes{1, static_cast<std::int64_t>(mean.size()), 1, 1};
    const std::string shifted = node("Sub", {kInput, tensor("pixels:mean", sizes, mean)}, "pixels:shifted");
    const std::string scaled =
        node("Div", {shifted, tensor("pixels:deviation", sizes, deviation)}, "pixels:normalised");
    if (mean.size() == 3 || source_.shapes.input.channels == 1) return scaled;
    return node("Concat", {scaled, scaled, scaled}, "pixels:repeated", {integer("axis", 1)});
  }

  // A parameter of the layer as an initialiser under PyTorch's name; empty where the layer has none such.
  std::string parameter(int layer, ParameterKind kind) {
    const int index = source_.layout.of_layer(layer, kind);
    if (index < 0) return "";
    const std::string& name = source_.layout.parameters[static_cast<std::size_t>(index)].name;
    const TensorView* view = source_.weights.find(name);
    CONVOY_CHECK(view != nullptr, "{}: tensor '{}' is missing", source_.weights.origin(), name);
    return tensor(name, view->shape, source_.weights.floats(name));
  }

  std::vector<ProtobufWriter> window(const Layer& layer, const Padding& padding) const {
    return {integers("kernel_shape", {layer.kernel.height, layer.kernel.width}),
            integers("strides", {layer.stride.height, layer.stride.width}),
            integers("pads", {padding.top, padding.left, padding.bottom, padding.right})};
  }

  std::string add_layer(int index, const Names& inputs) {
    const Layer& layer = source_.network.layers[static_cast<std::size_t>(index)];
    const Padding& padding = source_.shapes.layers[static_cast<std::size_t>(index)].padding;
    switch (layer.type) {
      case LayerType::convolution:
        return node("Conv", with_weights(inputs, index, ParameterKind::filters), output_, window(layer, padding));
      case LayerType::dense: {
        const std::string flat = node("Flatten", inputs, output_ + ":flat", {integer("axis", 1)});
        return node("Gemm", with_weights({flat}, index, ParameterKind::dense), output_, {integer("transB", 1)});
      }
      case LayerType::max_pool:
        return node("MaxPool", inputs, output_, window(layer, padding));
      case LayerType::average_pool:  // only the pixels inside the image count, which is ONNX's default
        return node("AveragePool", inputs, output_, window(layer, padding));
      case LayerType::global_average_pool:
        return node("GlobalAveragePool", inputs, output_);
      case LayerType::global_max_pool:
        return node("GlobalMaxPool", inputs, output_);
      case LayerType::batch_normalisation: {
        Names all = inputs;
        for (const ParameterKind kind : {ParameterKind::scale, ParameterKind::shift, ParameterKind::running_mean,
                                         ParameterKind::running_variance}) {
          all.push_back(parameter(index, kind));
        }
        return node("BatchNormalization", all, output_, {real("epsilon", layer.epsilon)});
      }
      case LayerType::dropout:
        return node("Identity", inputs, output_);
      case LayerType::relu:
        return node("Relu", inputs, output_);
      case LayerType::gelu:
        return gelu(inputs.front());
      case LayerType::silu: {
        const std::string gate = node("Sigmoid", inputs, output_ + ":gate");
        return node("Mul", {inputs.front(), gate}, output_);
      }
      case LayerType::add:
        return node("Add", inputs, output_);
      case LayerType::flatten:
        return node("Flatten", inputs, output_, {integer("axis", 1)});
      case LayerType::scale:
        return node("Mul", {inputs.front(), constant(output_ + ":factor", layer.factor)}, output_);
    }
    fail("{}: ONNX has nothing for it", describe_place(source_.network, layer));
  }

  Names with_weights(Names inputs, int layer, ParameterKind kind) {
    inputs.push_back(parameter(layer, kind));
    if (std::string bias = parameter(layer, ParameterKind::bias); !bias.empty()) inputs.push_back(std::move(bias));
    return inputs;
  }

  // x * (1 + erf(x / sqrt 2)) / 2; an operator of its own exists since operator set 20 only.
  std::string gelu(const std::string& x) {
    const std::string root = constant(output_ + ":root", static_cast<float>(std::numbers::sqrt2));
    const std::string divided = node("Div", {x, root}, output_ + ":divided");
    const std::string erf = node("Erf", {divided}, output_ + ":erf");
    const std::string above = node("Add", {erf, constant(output_ + ":one", 1)}, output_ + ":above");
    const std::string product = node("Mul", {x, above}, output_ + ":product");
    return node("Mul", {product, constant(output_ + ":half", 0.5F)}, output_);
  }

  const OnnxSource& source_;
  ProtobufWriter graph_;
  std::string output_;  // of the layer at work
};

}  // namespace

std::string onnx_model(const OnnxSource& source) {
  const nlohmann::json classes = source.class_names;
  ProtobufWriter model;
  model.integer(1, kIrVersion).text(2, "convoy").text(3, build_info().version);
  model.message(7, Graph(source).build());
  model.message(8, ProtobufWriter().text(1, "").integer(2, kOperatorSet));
  model.message(14, ProtobufWriter().text(1, "classes").text(2, classes.dump()));
  return model.bytes();
}

}  // namespace convoy
