// Several workers in one process, each a thread with a device of its own: what they say to each other goes through the
// memory that they share, so one host's devices need no MPI.
#pragma once

#include <functional>

#include "convoy/communicator.hpp"

namespace convoy {

// Calls body once a worker, each on a thread of its own, with a communicator of `count` ranks. Its collectives are over
// host memory; one changes its range in join, not before, and every rank joins in the order in which it started them.
// Where a rank throws or aborts, the others' calls throw instead of waiting for it; the first exception comes out when
// all threads have ended.
void run_worker_threads(int count, const std::function<void(Communicator&)>& body);

}  // namespace convoy
