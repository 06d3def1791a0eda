// See check_spec.hpp.
#include "nn/check_spec.hpp"

#include <algorithm>
#include <cstdlib>

#include "convoy/error.hpp"

namespace convoy {

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
