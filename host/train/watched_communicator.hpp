// A communicator that tells the watchdog whenever this rank waits for others.
#pragma once

#include <memory>

#include "convoy/communicator.hpp"
#include "watchdog/progress.hpp"

namespace convoy {

// `progress` outlives it and whatever is split off it; waits are numbered alike on all ranks.
std::unique_ptr<Communicator> watch(std::unique_ptr<Communicator> communicator, RankProgress& progress);

}  // namespace convoy
