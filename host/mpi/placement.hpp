// Which cores a worker has: those of its host are shared out among the workers there.
#pragma once

#include <string>

#include "convoy/communicator.hpp"
#include "mpi/launch.hpp"

namespace convoy {

// All workers call it, before any starts threads. Where workers of a host may use the same cores, each binds itself to
// its part of them; what the user or the scheduler said of cores holds. Returns a line for the user where workers have
// to share a core, else nothing.
std::string bind_to_cores(Communicator& world, const Launch& launch);

}  // namespace convoy
