// The workers that a launcher started, or this process's GPUs, for the subcommands that use more than one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/command.hpp"
#include "convoy/communicator.hpp"
#include "mpi/launch.hpp"
#include "train/run_config.hpp"
#include "train/run_context.hpp"

namespace convoy {

struct JoinedWorkers {
  std::unique_ptr<Communicator> communicator;
  std::string line;  // for the user; often empty
  bool is_first() const { return communicator->rank() == 0; }
};

// This worker alone, or with those that the launcher started beside it, each bound to its cores.
JoinedWorkers join_workers(const std::optional<Launch>& launch);

// What all workers of a job do: joins them, watches them where they are several, and calls `work`, whose exit code it
// returns; with --gpus-per-process once for each GPU, on a thread of its own, of which the first one's context speaks.
// A failure is recorded in the run that `work` opened, ends the whole job, and is thrown where there is but one worker.
using JobWork = std::function<int(Communicator& workers, RunContext& context)>;
int run_job(const std::optional<Launch>& launch, const RunConfig& config, const CommandContext& command,
            Progress& progress, const JobWork& work);

}  // namespace convoy
