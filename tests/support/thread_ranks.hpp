// Ranks as threads of the test, for tests of what ranks say to each other without MPI.
#pragma once

#include "train/worker_threads.hpp"

namespace convoy::test {

// Arenas must lie in host memory.
inline void run_ranks(int count, const std::function<void(Communicator&)>& body) { run_worker_threads(count, body); }

}  // namespace convoy::test
