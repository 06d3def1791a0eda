// Layers -> the few fused operations that backends know. No device in it; program.hpp plans the result on a backend.
// What is fused: convolution + bias + ReLU; dense + bias + ReLU; and into one EpilogueSpec max-pool (kernel = stride)
// + batch normalisation + residual addition + activation. ReLU before such a pool moves behind it (they commute).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "convoy/operation.hpp"
#include "nn/network.hpp"
#include "nn/parameters.hpp"
#include "nn/shapes.hpp"

namespace convoy {

// An activation. Tensor 0 is the network's input, which has no gradient.
struct LoweredTensor {
  Extent extent;             // of one sample
  int producer = -1;         // index of the operation that writes it; -1: the network's input
  std::vector<int> readers;  // operations that read it, as input or residual, ascending; empty only for the logits
  // Something trainable lies before it: its gradient is wanted. Then every reader's input_gradient (or
  // residual_gradient) is set, and the gradients of several readers must be summed; else none is set.
  bool gradient = false;
};

struct LoweredOperation {
  OperationSpec spec;               // its gradient flags are final
  std::string name;                 // the first fused layer's name that has parameters, else the first layer's; unique
  std::vector<std::string> layers;  // all fused layers, network's order
  int input = 0, residual = -1, output = 0;                               // tensors; residual -1: none
  int weights = -1, bias = -1, running_mean = -1, running_variance = -1;  // ParamLayout::parameters; -1: none
  // weights and bias are a normalisation's scale and shift for EpilogueSpec; a fixed scale (shift) is a frozen
  // parameter of ones (zeros), so a normalising EpilogueSpec always has all four. One with bias_gradient has the bias
  // of the convolution before, which then takes no part in the backward pass.
  bool backward = false;  // takes part in the backward pass: its output has a gradient
};

struct LoweredNetwork {
  std::vector<LoweredTensor> tensors;
  std::vector<LoweredOperation>
      operations;         // a valid order; backward is the reverse, skipping those without `backward`
  int input = 0;          // tensor
  int logits = 0;         // tensor [1,1,classes], written by a DenseSpec with float_output
  float logit_scale = 1;  // for LossArgs
  int classes = 0;
};

struct LowerOptions {
  // evaluate: no gradients, and dropout vanishes. The parameters' indices are the same in both modes.
  Mode mode = Mode::train;
  // Trainable parameters that a recipe does not train now (for instance a group from some epoch on). They keep their
  // place in the layout; only gradients go. Null: none.
  std::function<bool(const Parameter&)> frozen = {};
  int normalisation_group = 0;  // EpilogueSpec::group_size
  // Running statistics become the batch's own, whatever the network says of their momentum.
  bool batch_statistics = false;
};

LoweredNetwork lower(const Network&, const Shapes&, const ParamLayout&, const LowerOptions& = {});

// Whether the spec takes any gradient at all of its input.
bool input_gradient(const OperationSpec&);

}  // namespace convoy
