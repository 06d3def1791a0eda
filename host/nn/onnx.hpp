// A trained network as an ONNX model (https://onnx.ai, operator set 17), which other programs run.
//   input  `images`  float [N, channels, height, width], pixels in 0..1; what the data had, before any normalisation
//   output `logits`  float [N, classes], logit scale included
// Normalisation of the pixels is part of the graph. Metadata: `classes` (JSON list), as the weights file has them.
#pragma once

#include <string>
#include <vector>

#include "io/safetensors.hpp"
#include "nn/network.hpp"
#include "nn/parameters.hpp"
#include "nn/shapes.hpp"

namespace convoy {

struct OnnxSource {
  const Network& network;
  const Shapes& shapes;
  const ParamLayout& layout;
  const SafetensorsFile& weights;       // in PyTorch's orders, which are ONNX's; every tensor of the layout
  std::vector<double> mean, deviation;  // by channel of the data, pixels in 0..1
  std::vector<std::string> class_names;
};

// The file's bytes.
std::string onnx_model(const OnnxSource& source);

}  // namespace convoy
