// MPI starts here and nowhere else, and only where a launcher was at work.
#include "cli/workers.hpp"

#include "mpi/mpi_communicator.hpp"
#include "mpi/placement.hpp"

namespace convoy {

JoinedWorkers join_workers(const std::optional<Launch>& launch) {
  if (!launch) return {make_self_communicator(), ""};
  JoinedWorkers workers{make_mpi_communicator(*launch), ""};
  workers.line = bind_to_cores(*workers.communicator, *launch);
  return workers;
}

}  // namespace convoy
