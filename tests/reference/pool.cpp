// Max and average pooling. Of equal values the first in row order is the largest; an average divides by the pixels
// inside the image.
#include "reference/operations.hpp"

namespace convoy::reference {
namespace {

// Calls visit(output index, indices of the window's pixels inside the image) for every output.
template <typename Visit>
void for_each_window(const PoolSpec& spec, int batch, const Visit& visit) {
  std::vector<std::size_t> window;
  for (int n = 0; n < batch; ++n) {
    for (int y = 0; y < spec.output.height; ++y) {
      for (int x = 0; x < spec.output.width; ++x) {
        for (int c = 0; c < spec.output.channels; ++c) {
          window.clear();
          for (int ky = 0; ky < spec.kernel.height; ++ky) {
            for (int kx = 0; kx < spec.kernel.width; ++kx) {
              const int in_y = y * spec.stride.height - spec.padding.top + ky;
              const int in_x = x * spec.stride.width - spec.padding.left + kx;
              if (in_y < 0 || in_y >= spec.input.height || in_x < 0 || in_x >= spec.input.width) continue;
              window.push_back(at(spec.input, n, in_y, in_x, c));
            }
          }
          visit(at(spec.output, n, y, x, c), window);
        }
      }
    }
  }
}

std::size_t largest(const Values& input, const std::vector<std::size_t>& window) {
  std::size_t best = window.front();
  for (const std::size_t i : window) {
    if (input[i] > input[best]) best = i;
  }
  return best;
}

}  // namespace

Outputs forward(const PoolSpec& spec, int batch, Mode, const Arguments& arguments) {
  Outputs outputs;
  outputs.output.resize(elements(batch, spec.output));
  for_each_window(spec, batch, [&](std::size_t out, const std::vector<std::size_t>& window) {
    if (spec.kind == PoolSpec::Kind::max) {
      outputs.output[out] = arguments.input[largest(arguments.input, window)];
      return;
    }
    double sum = 0;
    for (const std::size_t i : window) sum += arguments.input[i];
    outputs.output[out] = sum / static_cast<double>(window.size());
  });
  return outputs;
}

Gradients backward(const PoolSpec& spec, int batch, const Arguments& arguments, const Values& output_gradient) {
  Gradients gradients;
  gradients.input.resize(arguments.input.size(), 0.0);
  for_each_window(spec, batch, [&](std::size_t out, const std::vector<std::size_t>& window) {
    if (spec.kind == PoolSpec::Kind::max) {
      gradients.input[largest(arguments.input, window)] += output_gradient[out];
      return;
    }
    const double share = output_gradient[out] / static_cast<double>(window.size());
    for (const std::size_t i : window) gradients.input[i] += share;
  });
  return gradients;
}

}  // namespace convoy::reference
