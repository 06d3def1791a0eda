// A network bound to data: every layer's output extent and its padding in pixels. One entry per layer, same order.
#pragma once

#include <vector>

#include "nn/network.hpp"

namespace convoy {

struct LayerShape {
  Extent output;
  bool flat = false;  // a vector of output.elements() values in HWC order (after flatten); `output` stays [H,W,C]
  Padding padding;    // convolution, pools: resolved
  int outputs = 0;    // convolution, dense: resolved
};

struct Shapes {
  int classes = 0;
  Extent input;  // channels resolved: the network's own number, else the data's
  std::vector<LayerShape> layers;

  // What layer `index` reads first: another layer's output or the network's input.
  const LayerShape& input_of(const Layer&, std::size_t which = 0) const;

 private:
  friend Shapes infer_shapes(const Network&, int, int);
  LayerShape network_input_;
};

// Throws UsageError naming the layer where something does not fit, or the last layer does not give [classes].
// channels: the data's, 1 or 3; grey is repeated where the network fixes 3.
Shapes infer_shapes(const Network&, int classes, int channels);

// Throws UsageError where images of this extent cannot enter the network (height, width, or 3 channels into 1).
void check_image(const Network&, const Extent& image);

}  // namespace convoy
