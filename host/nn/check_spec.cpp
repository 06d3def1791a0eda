// See check_spec.hpp.
#include "nn/check_spec.hpp"

#include <algorithm>

#include "convoy/error.hpp"

namespace convoy {
namespace {

// Pixels along one side of a convolution's output; 0 where the kernel does not fit.
int convolved(int input, int before, int after, int kernel, int stride) {
  return input + before + after >= kernel ? (input + before + after - kernel) / stride + 1 : 0;
}

}  // namespace

void check(const ConvSpec& spec, int batch) {
  const Padding& padding = spec.padding;
  CONVOY_CHECK(std::min({padding.top, padding.bottom, padding.left, padding.right}) >= 0,
               "convolution: padding of {}, {}, {} and {} pixels, at least 0 expected", padding.top, padding.bottom,
               padding.left, padding.right);
  CONVOY_CHECK(std::min({spec.kernel.height, spec.kernel.width, spec.stride.height, spec.stride.width}) >= 1,
               "convolution: a {}x{} kernel with stride {}x{}, at least 1 expected", spec.kernel.height,
               spec.kernel.width, spec.stride.height, spec.stride.width);
  CONVOY_CHECK(std::min(spec.input.channels, spec.output.channels) >= 1,
               "convolution: {} input and {} output channels, at least 1 expected", spec.input.channels,
               spec.output.channels);
  const int height = convolved(spec.input.height, padding.top, padding.bottom, spec.kernel.height, spec.stride.height);
  const int width = convolved(spec.input.width, padding.left, padding.right, spec.kernel.width, spec.stride.width);
  CONVOY_CHECK(batch > 0 && height > 0 && width > 0 && height == spec.output.height && width == spec.output.width,
               "convolution: a {}x{} kernel over {}x{} pixels gives {}x{}, not {}x{} (batch {})", spec.kernel.height,
               spec.kernel.width, spec.input.height, spec.input.width, height, width, spec.output.height,
               spec.output.width, batch);
  CONVOY_CHECK(spec.activation == Activation::none || spec.activation == Activation::relu,
               "convolution: only ReLU can be fused; other activations belong to an epilogue");
}

void check(const DenseSpec& spec, int batch, DType compute) {
  CONVOY_CHECK(batch > 0 && spec.outputs > 0 && spec.input.elements() > 0, "dense: {} inputs, {} outputs, batch {}",
               spec.input.elements(), spec.outputs, batch);
  CONVOY_CHECK(spec.activation == Activation::none || spec.activation == Activation::relu,
               "dense: only ReLU can be fused; other activations belong to an epilogue");
  // The gradient before the activation needs output and gradient in one type.
  CONVOY_CHECK(spec.activation == Activation::none || !spec.float_output || compute == DType::f32,
               "dense: logits take no activation");
}

void check(const MuonSpec& spec) {
  for (const MuonSpec::Matrix& matrix : spec.matrices) {
    CONVOY_CHECK(matrix.rows > 0 && matrix.columns > 0 && matrix.group >= 0 && matrix.group < kMaxGroups,
                 "muon: matrix [{},{}] of parameter group {}, expected groups 0 to {}", matrix.rows, matrix.columns,
                 matrix.group, kMaxGroups - 1);
  }
}

}  // namespace convoy
