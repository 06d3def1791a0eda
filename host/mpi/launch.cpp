// Open MPI's mpirun sets OMPI_COMM_WORLD_*; MPICH's and Slurm's pmi2 set PMI_*; Slurm's pmix plugin sets PMIX_RANK.
// Under mpirun the variables of Slurm describe mpirun's daemons, so they are asked last.
#include "mpi/launch.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "convoy/error.hpp"

namespace convoy {
namespace {

std::optional<int> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  const std::string_view value = text;
  int number = 0;
  const std::from_chars_result result = std::from_chars(value.data(), value.data() + value.size(), number);
  if (result.ec != std::errc{} || result.ptr != value.data() + value.size()) return std::nullopt;
  return number;
}

// Tasks of the job step that srun started; a batch script's shell has no such step.
int tasks_of_srun() { return number_in("SLURM_STEP_NUM_TASKS").value_or(0); }

// Open MPI's mpirun without --bind-to and the like gives two processes one core each, however many there are.
bool has_chosen_cores() {
  constexpr const char* kVariables[] = {
      "OMPI_MCA_hwloc_base_binding_policy",    "OMPI_MCA_hwloc_base_cpu_set",
      "OMPI_MCA_rmaps_base_mapping_policy",    "OMPI_MCA_orte_rankfile",
      "PRTE_MCA_hwloc_default_binding_policy", "PRTE_MCA_rmaps_default_mapping_policy",
      "PRTE_MCA_hwloc_default_cpu_list"};
  return std::ranges::any_of(kVariables, [](const char* variable) { return std::getenv(variable) != nullptr; });
}

[[noreturn]] void fail_without_pmix(int tasks) {
  fail_usage(
      "srun started {} tasks that cannot find each other, so each would train alone: add --mpi=pmix to srun "
      "('srun --mpi=list' shows what this Slurm has), or start them by mpirun",
      tasks);
}

}  // namespace

std::optional<Launch> find_launch() {
  if (const auto size = number_in("OMPI_COMM_WORLD_SIZE")) {
    return Launch{"mpirun", number_in("OMPI_COMM_WORLD_RANK").value_or(0), *size, has_chosen_cores()};
  }
  if (const auto size = number_in("PMI_SIZE")) return Launch{"mpirun", number_in("PMI_RANK").value_or(0), *size, true};
  if (const auto rank = number_in("PMIX_RANK")) return Launch{"srun", *rank, tasks_of_srun(), true};
  if (tasks_of_srun() > 1) fail_without_pmix(tasks_of_srun());
  return std::nullopt;
}

int launched_process() noexcept {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID"}) {
    if (const std::optional<int> number = number_in(variable)) return *number;
  }
  return 0;
}

void check_launch(const Launch& launch, int mpi_size, std::string_view mpi) {
  if (launch.size <= mpi_size) return;
  if (launch.launcher == "srun") fail_without_pmix(launch.size);
  fail_usage(
      "the launcher started {} processes that cannot find each other, so each would train alone: this program was "
      "built with {}, so start it by the mpirun of that MPI (or, in Slurm, by srun with a plugin that it knows)",
      launch.size, mpi);
}

}  // namespace convoy
