// Every lowered operation as naive loops in double precision: what include/convoy/operation.hpp says, and nothing
// fast. Activations are [N,H,W,C], filters [O,H,W,I], dense rows [O,H*W*C]. One .cpp an operation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "convoy/operation.hpp"

namespace convoy::reference {

using Values = std::vector<double>;

// What an operation reads; empty where the spec has none. An epilogue's scale and shift are weights and bias, 1 and 0
// where empty.
struct Arguments {
  Values input, residual, weights, bias, running_mean, running_variance;
  StepRow row;
  std::vector<std::int32_t> order;  // sample numbers by position
};

struct Outputs {
  Values output, running_mean, running_variance;  // statistics as they are afterwards
};

// All of them, whatever the spec's *_gradient say.
struct Gradients {
  Values input, residual, weights, bias;
};

Outputs forward(const ConvSpec&, int batch, Mode, const Arguments&);
Outputs forward(const EpilogueSpec&, int batch, Mode, const Arguments&);
Outputs forward(const PoolSpec&, int batch, Mode, const Arguments&);
Outputs forward(const DenseSpec&, int batch, Mode, const Arguments&);
Outputs forward(const DropoutSpec&, int batch, Mode, const Arguments&);

// In training mode. `output_gradient` is that of the operation's output, after its activation.
Gradients backward(const ConvSpec&, int batch, const Arguments&, const Values& output_gradient);
Gradients backward(const EpilogueSpec&, int batch, const Arguments&, const Values& output_gradient);
Gradients backward(const PoolSpec&, int batch, const Arguments&, const Values& output_gradient);
Gradients backward(const DenseSpec&, int batch, const Arguments&, const Values& output_gradient);
Gradients backward(const DropoutSpec&, int batch, const Arguments&, const Values& output_gradient);

// How far rounding what lies between an epilogue's passes moves the gradients, at most and to first order, element by
// element. Before a smooth activation two tensors lie there in the compute type: what the activation saw, where a
// residual keeps it from being computed again, and the gradient before the activation, where normalisation reads it
// twice. ReLU's are exact. `unit` is the most that a rounding moves a value, as a share of it; the rounding of the
// results themselves is not counted. Only input and residual are filled, empty where nothing moves.
Gradients moved_by_kept_roundings(const EpilogueSpec&, int batch, const Arguments&, const Values& output_gradient,
                                  double unit);

Outputs forward(const OperationSpec&, int batch, Mode, const Arguments&);
Gradients backward(const OperationSpec&, int batch, const Arguments&, const Values& output_gradient);

// Index into [N,H,W,C].
inline std::size_t at(const Extent& extent, int n, int y, int x, int c) {
  return ((static_cast<std::size_t>(n) * extent.height + y) * extent.width + x) * extent.channels + c;
}

inline std::size_t elements(int batch, const Extent& extent) {
  return static_cast<std::size_t>(batch) * static_cast<std::size_t>(extent.elements());
}

}  // namespace convoy::reference
