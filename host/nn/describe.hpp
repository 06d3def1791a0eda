// The text of `convoy info --model`: layers, parameters, work per image, and what `lower` makes of them.
#pragma once

#include <string>

#include "nn/lower.hpp"

namespace convoy {

// Floating-point operations for one image (a multiply-add is two), of convolutions and dense layers alone.
struct Flops {
  double forward = 0;
  double training = 0;  // forward, weight gradients and data gradients, as far as the operation computes them
};
Flops flops(const OperationSpec&);
Flops flops(const LoweredNetwork&);

std::string describe(const OperationSpec&);  // "convolution 3x3, 30x30x32 -> 28x28x64, bias, relu"
std::string describe(const Network&, const Shapes&, const ParamLayout&, const LoweredNetwork&);

}  // namespace convoy
