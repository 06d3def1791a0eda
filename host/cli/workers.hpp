// The workers that a launcher started, for the subcommands that use more than one.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "convoy/communicator.hpp"
#include "mpi/launch.hpp"
#include "train/run_config.hpp"
#include "train/run_context.hpp"
#include "watchdog/watchdog.hpp"

namespace convoy {

struct JoinedWorkers {
  std::unique_ptr<Communicator> communicator;
  std::string line;  // for the user; often empty
  bool is_first() const { return communicator->rank() == 0; }
};

// This worker alone, or with those that the launcher started beside it, each bound to its cores.
JoinedWorkers join_workers(const std::optional<Launch>& launch);

// Ends the job when a worker of it dies, hangs or fails.
class JobWatch {
 public:
  // All workers call it. From then on `workers.communicator` reports where it waits.
  JobWatch(JoinedWorkers& workers, const RunConfig& config, RunContext& context);

  void finish() { watchdog_.finish(); }
  // Ends every process of the job: this one, and the others through the watchdog or MPI.
  [[noreturn]] void fail(const std::exception& error, Communicator& communicator);

 private:
  std::atomic<bool> has_spoken_ = false;  // this process has said why the job ends
  std::atomic<int> exit_code_ = 0;        // of this process's own failure
  Watchdog watchdog_;
};

}  // namespace convoy
