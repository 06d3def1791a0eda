// See check_spec.hpp.
#include "nn/check_spec.hpp"

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

}  // namespace convoy
