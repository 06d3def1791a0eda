// The first and the last kernel of a pass: pixels become the network's input, logits become loss and gradient.
#pragma once

#include "context.hpp"
#include "convoy/backend.hpp"

namespace convoy::cuda {

void begin_step(const StepRow* rows, std::int32_t* cursor, StepRow* current, const Context&);
void prepare_input(const InputArgs&, const Context&);
void softmax_cross_entropy(const LossArgs&, const Context&);

}  // namespace convoy::cuda
