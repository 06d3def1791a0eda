// See check_spec.hpp.
#include "nn/check_spec.hpp"

#include <algorithm>
#include <cstdlib>

#include "convoy/error.hpp"

namespace convoy {
namespace {

// Pixels along one side of a convolution's output; 0 where the kernel does not fit.
int convolved(int input, int before, int after, int kernel, int stride) {
  return input + before + after >= kernel ? (input + before + after - kernel) / stride + 1 : 0;
}

// One axis: padding smaller than the window, so that every window holds a pixel, and the output's size.
void check_pooled_axis(const char* axis, int size, int kernel, int stride, int before, int after, int output) {
  CONVOY_CHECK(kernel >= 1 && stride >= 1, "pooling: {} of kernel {} and stride {}, at least 1 expected", axis, kernel,
               stride);
  CONVOY_CHECK(before >= 0 && after >= 0 && before < kernel && after < kernel,
               "pooling: {} padding {} and {}, smaller than the window of {} expected", axis, before, after, kernel);
  const int covered = size + before + after - kernel;
  CONVOY_CHECK(covered >= 0, "pooling: {} {} is smaller than the window of {}", axis, size, kernel);
  CONVOY_CHECK(output == covered / stride + 1, "pooling: output {} {} expected, found {}", axis, covered / stride + 1,
               output);
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

void check(const EpilogueSpec& spec, int batch) {
  CONVOY_CHECK(spec.pool >= 1 && spec.pool <= 15, "epilogue: pooling windows of 1 to 15 pixels expected, found {}",
               spec.pool);
  const Extent expected{spec.input.height / spec.pool, spec.input.width / spec.pool, spec.input.channels};
  CONVOY_CHECK(spec.output == expected, "epilogue: output {}x{}x{} expected, found {}x{}x{}", expected.height,
               expected.width, expected.channels, spec.output.height, spec.output.width, spec.output.channels);
  CONVOY_CHECK(expected.elements() > 0, "epilogue: an image of {}x{} pixels is smaller than the pooling window of {}",
               spec.input.height, spec.input.width, spec.pool);
  CONVOY_CHECK(spec.group_size >= 0, "epilogue: groups of {} samples, at least 1 expected, or 0 for the batch",
               spec.group_size);
  const bool is_smooth = spec.activation == Activation::gelu || spec.activation == Activation::silu;
  const bool is_alone = spec.pool == 1 && !spec.normalise && !spec.residual && !spec.input_gradient;
  CONVOY_CHECK(!spec.bias_gradient || (is_smooth && is_alone),
               "epilogue: the gradient of a bias comes of a smooth activation alone, instead of the input's gradient");
  CONVOY_CHECK(spec.epsilon >= 0, "epilogue: an epsilon of {}, at least 0 expected", spec.epsilon);
  CONVOY_CHECK(batch > 0, "epilogue: a batch of {} samples, at least 1 expected", batch);
}

void check(const PoolSpec& spec, int batch) {
  check_pooled_axis("height", spec.input.height, spec.kernel.height, spec.stride.height, spec.padding.top,
                    spec.padding.bottom, spec.output.height);
  check_pooled_axis("width", spec.input.width, spec.kernel.width, spec.stride.width, spec.padding.left,
                    spec.padding.right, spec.output.width);
  CONVOY_CHECK(spec.input.channels == spec.output.channels, "pooling: {} output channels expected, found {}",
               spec.input.channels, spec.output.channels);
  CONVOY_CHECK(std::int64_t{spec.kernel.height} * spec.kernel.width <= 65536,
               "pooling: a window of {}x{}, at most 65,536 pixels expected", spec.kernel.height, spec.kernel.width);
  CONVOY_CHECK(batch > 0, "pooling: a batch of {} samples, at least 1 expected", batch);
}

void check(const DropoutSpec& spec, int batch) {
  CONVOY_CHECK(spec.rate >= 0 && spec.rate < 1, "dropout: a rate from 0 up to but not 1 expected, found {}", spec.rate);
  CONVOY_CHECK(spec.input.elements() > 0 && spec.input.elements() <= std::int64_t{1} << 24,
               "dropout: {} elements a sample, 1 to 2^24 expected", spec.input.elements());
  CONVOY_CHECK(spec.salt < 1U << 20, "dropout: layer number {}, below 2^20 expected", spec.salt);
  CONVOY_CHECK(batch > 0, "dropout: a batch of {} samples, at least 1 expected", batch);
}

void check(const InputArgs& args) {
  const Extent& image = args.image;
  const Extent& input = args.input;
  CONVOY_CHECK(image.height == input.height && image.width == input.width &&
                   (image.channels == input.channels || image.channels == 1) &&
                   (input.channels == 1 || input.channels == 3),
               "input: images of {}x{}x{} do not fit a network input of {}x{}x{}", image.height, image.width,
               image.channels, input.height, input.width, input.channels);
  const int smaller = std::min(image.height, image.width);
  const int farthest =
      args.mode == Mode::train ? args.augmentation.translate : std::max(std::abs(args.view.dy), std::abs(args.view.dx));
  CONVOY_CHECK(farthest >= 0 && farthest < smaller,
               "input: a translation by {} pixels reflects a {}x{} image more than once; at most {}", farthest,
               image.height, image.width, smaller - 1);
}

}  // namespace convoy
