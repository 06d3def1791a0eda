// A network as its JSON file states it: named layers in the order of computation, nothing bound to data yet.
// `load_network` takes a zoo name or a file; `parse_network` documents the format. infer_shapes comes next.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "convoy/types.hpp"

namespace convoy {

enum class LayerType : std::uint8_t {
  convolution,
  dense,
  max_pool,
  average_pool,
  global_average_pool,
  global_max_pool,
  batch_normalisation,
  dropout,
  relu,
  gelu,
  silu,
  add,      // residual addition of two equally shaped inputs
  flatten,  // [H,W,C] -> vector in HWC order; no work
  scale,    // logits times a factor; only as the last layer
};

// How the weights start. fan_in = kernel area x input channels (dense: inputs), fan_out the same with outputs.
enum class Initialisation : std::uint8_t {
  glorot_uniform,  // U(-l, l), l = sqrt(6 / (fan_in + fan_out)); bias zero (Keras' default; Glorot and Bengio 2010)
  he_normal,       // N(0, 2 / fan_in), not truncated; bias zero (He et al. 2015)
  torch_default,   // U(-l, l), l = 1 / sqrt(fan_in), the bias too (PyTorch's default for convolution and linear)
  whitening,       // from the training images, see initialise.hpp; bias as torch_default
};

// Padding as written: resolved to pixels by infer_shapes, because `same` depends on the input's size.
struct PaddingRule {
  bool same = false;  // output = ceil(input / stride); an odd pixel goes to the bottom and right, as in TensorFlow
  Padding pixels;     // where not `same`
};

constexpr int kFromClasses = -1;   // Layer::outputs: the data set's number of classes
constexpr int kFromChannels = -1;  // Network::input.channels: the data set's number of channels
constexpr int kNetworkInput = -1;  // in Layer::inputs: the network's input instead of a layer

struct Layer {
  std::string name;  // unique; PyTorch's module name in the zoo ("layer1.0.conv1"), prefix of the parameters' names
  LayerType type{};
  std::vector<int> inputs;  // indices of earlier layers, or kNetworkInput; one, but two for `add`

  int outputs = 0;            // convolution, dense: number of filters or rows, or kFromClasses
  Size2 kernel, stride;       // convolution, pools
  PaddingRule padding;        // convolution, pools
  bool bias = true;           // convolution, dense
  bool train_weights = true;  // convolution, dense: false: frozen; normalisation: false: scale fixed at 1
  bool train_bias = true;     // convolution, dense: false: frozen; normalisation: false: shift fixed at 0
  std::string group;          // parameter group of weights, or of a normalisation's scale and shift
  std::string bias_group;     // convolution, dense
  Initialisation initialise = Initialisation::torch_default;
  bool identity = false;  // convolution: then the first C_in filters pass their channel on (PyTorch's dirac_)
  bool unit_std = false;  // dense: then all weights are divided by their standard deviation
  float epsilon = 1e-5F;  // normalisation
  float momentum = 0.1F;  // normalisation: the share of the new value in the running statistics
  float rate = 0;         // dropout: the share that is zeroed
  float factor = 1;       // scale
};

struct Network {
  std::string name;
  std::string origin;         // file name or "zoo:seed", for messages
  Extent input;               // channels may be kFromChannels
  std::string text;           // the JSON it was parsed from
  std::vector<Layer> layers;  // topological order; the last (before `scale`) is the dense layer that gives the logits
};

// Parses a network file:
//   {"name": "tiny", "input": [32, 32, "channels"], "layers": [{"name": "conv1", "type": "convolution", ...}, ...]}
// Every layer has "name" and "type", and reads the layer listed before it unless "from" names another one, or two
// for add (["a", "b"]); "input" is the network's input. "from" may only name layers listed earlier.
//   convolution           filters, kernel; stride 1, padding "valid", bias true, group "filters", bias_group "biases",
//                         initialise, identity false, frozen false
//   dense (of its whole input in HWC order)
//                         outputs; bias true, group "dense", bias_group "biases", initialise, unit_std false, frozen
//   false max_pool, average_pool   kernel; stride = kernel, padding "valid"; partial windows at the end are dropped
//   batch_normalisation   epsilon 1e-5, momentum 0.1, scale true, shift true (false: fixed at 1 and 0), group "norm"
//   dropout               rate
//   scale                 factor
//   global_average_pool, global_max_pool, relu, gelu, silu, add, flatten: no options
// kernel and stride: N or [H, W]; padding: "valid", "same", N, [H, W] or [top, bottom, left, right]; filters and
// outputs: N or "classes"; frozen: true, or "weights", or "bias"; initialise: see Initialisation, "torch_default".
// A key "about" (any text) is allowed everywhere. Throws UsageError naming `origin`, the layer, expected and found.
Network parse_network(std::string_view json, std::string_view origin);

// The network's JSON with "classes" and "channels" replaced by numbers, for weights files: a network that needs no
// data to be rebuilt.
std::string bound_text(const Network&, int classes, int channels);

// A network of the zoo by name, else a file by path. Throws UsageError listing the zoo where it is neither.
Network load_network(const std::string& name_or_path);

// For messages: `seed.json: layer 'conv1'`.
std::string describe_place(const Network&, const Layer&);

std::string_view name(LayerType);
std::string_view name(Initialisation);

}  // namespace convoy
