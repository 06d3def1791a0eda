// Shape inference: one pass over the layers, each from its inputs' shapes.
#include "nn/shapes.hpp"

#include <algorithm>

#include "convoy/error.hpp"

namespace convoy {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 31;
constexpr std::int64_t kMaxDropoutElements = std::int64_t{1} << 24;  // its random index has 22 bits for groups of four

std::string text(const Extent& extent) { return fmt::format("{}x{}x{}", extent.height, extent.width, extent.channels); }

// Output size and padding of one dimension of a sliding window.
struct Window {
  int output = 0, before = 0, after = 0;
};

Window slide(int input, int kernel, int stride, bool same, int before, int after) {
  if (same) {
    const int output = (input + stride - 1) / stride;
    const int total = std::max((output - 1) * stride + kernel - input, 0);
    return {output, total / 2, total - total / 2};
  }
  const int room = input + before + after - kernel;
  return {room < 0 ? 0 : room / stride + 1, before, after};
}

class Inference {
 public:
  Inference(const Network& network, const Shapes& shapes) : network_(network), shapes_(shapes) {}

  LayerShape operator()(const Layer& layer) const {
    const LayerShape& input = shapes_.input_of(layer);
    LayerShape shape = {.output = input.output, .flat = input.flat, .padding = {}, .outputs = 0};
    switch (layer.type) {
      case LayerType::convolution:
        shape.outputs = layer.outputs == kFromClasses ? shapes_.classes : layer.outputs;
        slide_window(layer, input, shape);
        shape.output.channels = shape.outputs;
        if (layer.initialise == Initialisation::whitening) check_whitening(layer, input, shape);
        break;
      case LayerType::max_pool:
      case LayerType::average_pool:
        slide_window(layer, input, shape);
        break;
      case LayerType::global_average_pool:
      case LayerType::global_max_pool:
        need_image(layer, input);
        shape.output = {1, 1, input.output.channels};
        break;
      case LayerType::batch_normalisation:
        need_image(layer, input);
        break;
      case LayerType::dense:
        shape.outputs = layer.outputs == kFromClasses ? shapes_.classes : layer.outputs;
        shape.output = {1, 1, shape.outputs};
        shape.flat = true;
        break;
      case LayerType::dropout:
        if (input.output.elements() > kMaxDropoutElements)
          fail_usage("{}: {} input elements, at most {}", place(layer), input.output.elements(), kMaxDropoutElements);
        break;
      case LayerType::add:
        check_add(layer, input, shapes_.input_of(layer, 1));
        break;
      case LayerType::flatten:
        shape.flat = true;
        break;
      case LayerType::relu:
      case LayerType::gelu:
      case LayerType::silu:
      case LayerType::scale:
        break;
    }
    if (shape.output.elements() >= kMaxElements)
      fail_usage("{}: its output {} has {} elements, at most {}", place(layer), text(shape.output),
                 shape.output.elements(), kMaxElements - 1);
    return shape;
  }

 private:
  std::string place(const Layer& layer) const { return describe_place(network_, layer); }

  void need_image(const Layer& layer, const LayerShape& input) const {
    if (input.flat && (input.output.height != 1 || input.output.width != 1))
      fail_usage("{}: {} needs [H, W, C], found a flattened vector of {} values; put it before the flatten",
                 place(layer), name(layer.type), input.output.elements());
  }

  void slide_window(const Layer& layer, const LayerShape& input, LayerShape& shape) const {
    need_image(layer, input);
    const Padding& pad = layer.padding.pixels;
    if (std::max(pad.top, pad.bottom) >= layer.kernel.height || std::max(pad.left, pad.right) >= layer.kernel.width)
      fail_usage("{}: padding must be smaller than the kernel, {}x{}", place(layer), layer.kernel.height,
                 layer.kernel.width);
    const Extent& from = input.output;
    const Window rows =
        slide(from.height, layer.kernel.height, layer.stride.height, layer.padding.same, pad.top, pad.bottom);
    const Window columns =
        slide(from.width, layer.kernel.width, layer.stride.width, layer.padding.same, pad.left, pad.right);
    if (rows.output < 1 || columns.output < 1)
      fail_usage("{}: its kernel {}x{} does not fit into its input {} (with padding {}, {}, {}, {})", place(layer),
                 layer.kernel.height, layer.kernel.width, text(from), pad.top, pad.bottom, pad.left, pad.right);
    shape.output.height = rows.output;
    shape.output.width = columns.output;
    shape.padding = {rows.before, rows.after, columns.before, columns.after};
  }

  void check_whitening(const Layer& layer, const LayerShape& input, const LayerShape& shape) const {
    const std::int64_t expected = std::int64_t{2} * layer.kernel.height * layer.kernel.width * input.output.channels;
    if (layer.inputs[0] != kNetworkInput) fail_usage("{}: whitening must read the network's input", place(layer));
    if (shape.outputs != expected)
      fail_usage("{}: whitening a {}x{}x{} patch takes {} filters, found {}", place(layer), layer.kernel.height,
                 layer.kernel.width, input.output.channels, expected, shape.outputs);
  }

  void check_add(const Layer& layer, const LayerShape& a, const LayerShape& b) const {
    const bool equal = a.output == b.output && (a.flat == b.flat || (a.output.height == 1 && a.output.width == 1));
    if (equal) return;
    fail_usage("{}: its inputs have different shapes, {}{} and {}{}", place(layer), text(a.output),
               a.flat ? " flattened" : "", text(b.output), b.flat ? " flattened" : "");
  }

  const Network& network_;
  const Shapes& shapes_;
};

}  // namespace

const LayerShape& Shapes::input_of(const Layer& layer, std::size_t which) const {
  const int source = layer.inputs.at(which);
  return source == kNetworkInput ? network_input_ : layers.at(static_cast<std::size_t>(source));
}

Shapes infer_shapes(const Network& network, int classes, int channels) {
  CONVOY_CHECK(classes >= 1 && (channels == 1 || channels == 3), "{} classes and {} channels: the data are wrong",
               classes, channels);
  Shapes shapes;
  shapes.classes = classes;
  shapes.input = network.input;
  if (shapes.input.channels == kFromChannels) shapes.input.channels = channels;
  shapes.network_input_ = {.output = shapes.input, .flat = false, .padding = {}, .outputs = 0};
  if (shapes.input.elements() >= kMaxElements)
    fail_usage("{}: its input {} is too large", network.origin, text(shapes.input));
  for (const Layer& layer : network.layers) shapes.layers.push_back(Inference(network, shapes)(layer));

  const Layer& last = network.layers.back();
  if (shapes.layers.back().output.elements() != classes)
    fail_usage("{}: the last layer gives {} values, but the data have {} classes; use \"outputs\": \"classes\"",
               describe_place(network, last), shapes.layers.back().output.elements(), classes);
  return shapes;
}

void check_image(const Network& network, const Extent& image) {
  const Extent& input = network.input;
  const bool channels_fit = input.channels == kFromChannels || input.channels == image.channels ||
                            (input.channels == 3 && image.channels == 1);
  if (input.height == image.height && input.width == image.width && channels_fit) return;
  fail_usage("{}: the network takes images of {}x{}x{}, the data have {}; choose another --model or --data",
             network.origin, input.height, input.width,
             input.channels == kFromChannels ? "channels" : std::to_string(input.channels), text(image));
}

}  // namespace convoy
