// How this process was started: what launchers leave in the environment. Calls no MPI.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace convoy {

struct Launch {
  std::string launcher;  // "mpirun", "srun"
  int rank = 0;
  int size = 0;              // 0: the launcher does not say
  bool chose_cores = false;  // the user or the scheduler said which cores a process has, not the launcher's default
};

// Nothing where this process stands alone, a batch script's own commands included. Throws UsageError where srun started
// several tasks without a way to find each other.
std::optional<Launch> find_launch();

// This process's number among those that a launcher started together; 0 where it stands alone.
int launched_process() noexcept;

// Throws UsageError where more processes were started than MPI, `mpi` by name, has ranks: the usual sign of a missing
// --mpi=pmix, or of a launcher that is of another MPI.
void check_launch(const Launch& launch, int mpi_size, std::string_view mpi);

}  // namespace convoy
