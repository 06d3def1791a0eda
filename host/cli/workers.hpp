// The workers that a launcher started, for the subcommands that use more than one.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "convoy/communicator.hpp"
#include "mpi/launch.hpp"

namespace convoy {

struct JoinedWorkers {
  std::unique_ptr<Communicator> communicator;
  std::string line;  // for the user; often empty
  bool is_first() const { return communicator->rank() == 0; }
};

// This worker alone, or with those that the launcher started beside it, each bound to its cores.
JoinedWorkers join_workers(const std::optional<Launch>& launch);

}  // namespace convoy
