// What to know before a long job: the hosts, their data and folders, and every link between their workers.
#pragma once

#include <functional>
#include <string_view>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "train/run_config.hpp"
#include "watchdog/progress.hpp"

namespace convoy {

struct PreflightOptions {
  std::string data;  // that each host reads; empty: none
  LabelKind labels = LabelKind::fine;
  std::string out;  // a folder that all hosts share; empty: not looked at
  std::size_t link_bytes = 0;
};

// All workers call it; `workers` is what the launcher gave, `devices` what averages weights. Prints, on the first
// worker, a line at a time. Returns how many problems there are, the same on all.
int preflight(const PreflightOptions& options, Backend& backend, Communicator& workers, Communicator& devices,
              RankProgress& progress, const std::function<void(std::string_view)>& print);

}  // namespace convoy
