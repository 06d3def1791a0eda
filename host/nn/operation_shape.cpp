// See operation_shape.hpp.
#include "nn/operation_shape.hpp"

#include <variant>

namespace convoy {

OperationShape shape_of(const OperationSpec& spec) {
  struct Visitor {
    OperationShape operator()(const ConvSpec& s) const {
      OperationShape shape{s.input, s.output};
      shape.weights = static_cast<std::size_t>(s.output.channels) * s.kernel.height * s.kernel.width * s.input.channels;
      shape.bias = s.bias ? s.output.channels : 0;
      shape.weights_gradient = s.weights_gradient;
      shape.bias_gradient = s.bias && s.bias_gradient;
      shape.input_gradient = s.input_gradient;
      return shape;
    }
    OperationShape operator()(const EpilogueSpec& s) const {
      OperationShape shape{s.input, s.output};
      shape.weights = shape.statistics = s.normalise ? s.output.channels : 0;
      shape.bias = s.normalise || s.bias_gradient ? s.output.channels : 0;
      shape.residual = s.residual;
      shape.weights_gradient = s.normalise && s.scale_gradient;
      shape.bias_gradient = s.normalise ? s.shift_gradient : s.bias_gradient;
      shape.input_gradient = s.input_gradient;
      shape.residual_gradient = s.residual && s.residual_gradient;
      return shape;
    }
    OperationShape operator()(const PoolSpec& s) const {
      OperationShape shape{s.input, s.output};
      shape.input_gradient = s.input_gradient;
      return shape;
    }
    OperationShape operator()(const DenseSpec& s) const {
      OperationShape shape{s.input, {1, 1, s.outputs}};
      shape.weights = static_cast<std::size_t>(s.outputs) * static_cast<std::size_t>(s.input.elements());
      shape.bias = s.bias ? s.outputs : 0;
      shape.float_output = s.float_output;
      shape.weights_gradient = s.weights_gradient;
      shape.bias_gradient = s.bias && s.bias_gradient;
      shape.input_gradient = s.input_gradient;
      return shape;
    }
    OperationShape operator()(const DropoutSpec& s) const {
      OperationShape shape{s.input, s.input};
      shape.input_gradient = s.input_gradient;
      return shape;
    }
  };
  return std::visit(Visitor{}, spec);
}

}  // namespace convoy
