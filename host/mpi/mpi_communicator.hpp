// The communicator over MPI, for arenas in host memory: what `mpirun` and `srun` start.
#pragma once

#include <memory>
#include <string>

#include "convoy/communicator.hpp"
#include "mpi/launch.hpp"

namespace convoy {

// Starts MPI; the world of this job. Once per process. Throws where MPI cannot start, or UsageError where the ranks
// that `launch` promises are not there.
std::unique_ptr<Communicator> make_mpi_communicator(const Launch& launch);

// Why this build cannot: "" where it can.
std::string mpi_missing();

// "Open MPI 4.1.4"; empty without MPI. Does not start it.
std::string mpi_version();

}  // namespace convoy
