// Slots of plain memory: the processor has no copies that run beside it, but the threads that fill them do.
#pragma once

#include <memory>

#include "convoy/backend.hpp"

namespace convoy::cpu {

// `memory` holds `slots` slots of `bytes` each.
std::unique_ptr<Stager> make_stager(Arena memory, int slots, std::size_t bytes);

}  // namespace convoy::cpu
