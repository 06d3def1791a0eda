// What all workers of a run must have in common before the first step.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "convoy/communicator.hpp"

namespace convoy {

struct Agreed {
  std::string what;   // "configuration"
  std::string value;  // of this worker; long ones are compared by checksum and not shown
};

// All workers call it, with the same items in the same order. Throws Error, on every worker, where one differs from
// worker 0: what differs, on which workers, and the two values.
void agree(Communicator& communicator, std::span<const Agreed> items);

}  // namespace convoy
