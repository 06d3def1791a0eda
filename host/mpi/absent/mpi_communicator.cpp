// Stands in for ../mpi_communicator.cpp in a build without MPI.
#include "mpi/mpi_communicator.hpp"

#include "convoy/error.hpp"

namespace convoy {

std::unique_ptr<Communicator> make_mpi_communicator(const Launch& launch) {
  fail_usage("{} started this, but {}", launch.launcher, mpi_missing());
}

std::string mpi_missing() {
  return "this build has no MPI: install libopenmpi-dev or load an MPI module and build again";
}

std::string mpi_version() { return ""; }

}  // namespace convoy
