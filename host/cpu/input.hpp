// The first thing a step does on the CPU: uint8 pixels by row number -> the network's input, augmented and normalised.
#pragma once

#include "convoy/backend.hpp"
#include "cpu/context.hpp"

namespace convoy::cpu {

void prepare_input(const InputArgs&, const Context&);

}  // namespace convoy::cpu
