// Ranks as threads of the test: a communicator over their shared memory, for tests of what ranks say to each other
// without MPI.
#pragma once

#include <functional>

#include "convoy/communicator.hpp"

namespace convoy::test {

// Calls body once a rank, each on a thread of its own, with a communicator of `count` ranks. Arenas must lie in host
// memory. A collective changes its range in join, not before, and every rank joins in the order in which it started
// them. Where a rank throws or aborts, the others' calls throw instead of waiting for it; the first exception comes out
// when all threads have ended.
void run_ranks(int count, const std::function<void(Communicator&)>& body);

}  // namespace convoy::test
