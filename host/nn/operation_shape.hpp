// How many values each tensor of a lowered operation has.
#pragma once

#include <cstddef>

#include "convoy/operation.hpp"

namespace convoy {

struct OperationShape {
  Extent input, output;               // of one sample
  std::size_t weights = 0, bias = 0;  // values; 0: none
  std::size_t statistics = 0;         // of the running mean, and of the running variance
  bool residual = false;              // reads one, of the output's extent
  bool float_output = false;          // fp32 rows whatever the compute type
  bool weights_gradient = false, bias_gradient = false, input_gradient = false, residual_gradient = false;  // wanted
};

OperationShape shape_of(const OperationSpec&);

}  // namespace convoy
