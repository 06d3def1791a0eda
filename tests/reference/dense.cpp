// Dense + bias + activation: output = activation(input . weights + bias).
#include "reference/activation.hpp"
#include "reference/operations.hpp"

namespace convoy::reference {
namespace {

Values before_activation(const DenseSpec& spec, int batch, const Arguments& arguments) {
  const auto inputs = static_cast<std::size_t>(spec.input.elements());
  const auto outputs = static_cast<std::size_t>(spec.outputs);
  Values sums(batch * outputs, 0.0);
  for (std::size_t n = 0; n < static_cast<std::size_t>(batch); ++n) {
    for (std::size_t o = 0; o < outputs; ++o) {
      double sum = spec.bias ? arguments.bias[o] : 0;
      for (std::size_t i = 0; i < inputs; ++i)
        sum += arguments.input[n * inputs + i] * arguments.weights[o * inputs + i];
      sums[n * outputs + o] = sum;
    }
  }
  return sums;
}

}  // namespace

Outputs forward(const DenseSpec& spec, int batch, Mode, const Arguments& arguments) {
  Outputs outputs;
  outputs.output = before_activation(spec, batch, arguments);
  for (double& value : outputs.output) value = activate(spec.activation, value);
  return outputs;
}

Gradients backward(const DenseSpec& spec, int batch, const Arguments& arguments, const Values& output_gradient) {
  const auto inputs = static_cast<std::size_t>(spec.input.elements());
  const auto outputs = static_cast<std::size_t>(spec.outputs);
  const Values sums = before_activation(spec, batch, arguments);
  Gradients gradients;
  gradients.input.resize(arguments.input.size(), 0.0);
  gradients.weights.resize(arguments.weights.size(), 0.0);
  gradients.bias.resize(arguments.bias.size(), 0.0);
  for (std::size_t n = 0; n < static_cast<std::size_t>(batch); ++n) {
    for (std::size_t o = 0; o < outputs; ++o) {
      const std::size_t out = n * outputs + o;
      const double gradient = output_gradient[out] * activation_derivative(spec.activation, sums[out]);
      if (spec.bias) gradients.bias[o] += gradient;
      for (std::size_t i = 0; i < inputs; ++i) {
        gradients.input[n * inputs + i] += gradient * arguments.weights[o * inputs + i];
        gradients.weights[o * inputs + i] += gradient * arguments.input[n * inputs + i];
      }
    }
  }
  return gradients;
}

}  // namespace convoy::reference
