// Convolution + bias + activation: seven nested loops.
#include "reference/activation.hpp"
#include "reference/operations.hpp"

namespace convoy::reference {
namespace {

// Calls visit(output index, input index, filter index) for every product of the convolution.
template <typename Visit>
void for_each_product(const ConvSpec& spec, int batch, const Visit& visit) {
  const Extent filter{spec.kernel.height, spec.kernel.width, spec.input.channels};
  for (int n = 0; n < batch; ++n) {
    for (int y = 0; y < spec.output.height; ++y) {
      for (int x = 0; x < spec.output.width; ++x) {
        for (int ky = 0; ky < spec.kernel.height; ++ky) {
          const int in_y = y * spec.stride.height - spec.padding.top + ky;
          if (in_y < 0 || in_y >= spec.input.height) continue;
          for (int kx = 0; kx < spec.kernel.width; ++kx) {
            const int in_x = x * spec.stride.width - spec.padding.left + kx;
            if (in_x < 0 || in_x >= spec.input.width) continue;
            for (int o = 0; o < spec.output.channels; ++o) {
              for (int i = 0; i < spec.input.channels; ++i) {
                visit(at(spec.output, n, y, x, o), at(spec.input, n, in_y, in_x, i), at(filter, o, ky, kx, i));
              }
            }
          }
        }
      }
    }
  }
}

Values before_activation(const ConvSpec& spec, int batch, const Arguments& arguments) {
  Values sums(elements(batch, spec.output), 0.0);
  if (spec.bias) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = arguments.bias[i % spec.output.channels];
  }
  for_each_product(spec, batch, [&](std::size_t out, std::size_t in, std::size_t filter) {
    sums[out] += arguments.input[in] * arguments.weights[filter];
  });
  return sums;
}

}  // namespace

Outputs forward(const ConvSpec& spec, int batch, Mode, const Arguments& arguments) {
  Outputs outputs;
  outputs.output = before_activation(spec, batch, arguments);
  for (double& value : outputs.output) value = activate(spec.activation, value);
  return outputs;
}

Gradients backward(const ConvSpec& spec, int batch, const Arguments& arguments, const Values& output_gradient) {
  const Values sums = before_activation(spec, batch, arguments);
  Values gradient = output_gradient;
  for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] *= activation_derivative(spec.activation, sums[i]);

  Gradients gradients;
  gradients.input.resize(arguments.input.size(), 0.0);
  gradients.weights.resize(arguments.weights.size(), 0.0);
  gradients.bias.resize(arguments.bias.size(), 0.0);
  for_each_product(spec, batch, [&](std::size_t out, std::size_t in, std::size_t filter) {
    gradients.input[in] += gradient[out] * arguments.weights[filter];
    gradients.weights[filter] += gradient[out] * arguments.input[in];
  });
  if (spec.bias) {
    for (std::size_t i = 0; i < gradient.size(); ++i) gradients.bias[i % spec.output.channels] += gradient[i];
  }
  return gradients;
}

}  // namespace convoy::reference
