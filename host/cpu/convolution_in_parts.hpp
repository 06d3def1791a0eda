// A convolution that takes the images of its batch in equal parts, one after the other, so that its workspace stays
// small.
#pragma once

#include <memory>

#include "convoy/operation.hpp"
#include "cpu/context.hpp"
#include "nn/operation_shape.hpp"

namespace convoy::cpu {

// `part` is planned for the `images` of one part, and keeps nothing from forward to backward (Needs::saved).
std::unique_ptr<Operation> repeat_convolution(std::unique_ptr<Operation> part, int images, int parts,
                                              const OperationShape&, const Context&);

}  // namespace convoy::cpu
