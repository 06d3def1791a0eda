// Masks are compared as lists of cores, "0,1,5".
#include "mpi/placement.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

namespace convoy {
namespace {

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

// The kernel leaves out what the job's control group does not allow.
void set_allowed(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

void unbind() {
  std::vector<int> every(CPU_SETSIZE);
  for (int core = 0; core < CPU_SETSIZE; ++core) every[static_cast<std::size_t>(core)] = core;
  set_allowed(every);
}

}  // namespace

std::string bind_to_cores(Communicator& world, const Launch& launch) {
  if (!launch.chose_cores) unbind();
  const std::unique_ptr<Communicator> host = world.split_by_host();
  const std::vector<int> cores = allowed_cores();
  const std::vector<std::string> lists = host->gather(fmt::format("{}", fmt::join(cores, ",")));
  const bool is_shared = std::ranges::all_of(lists, [&](const std::string& list) { return list == lists.front(); });
  const auto workers = static_cast<std::size_t>(host->size()), worker = static_cast<std::size_t>(host->rank());
  if (!is_shared || workers == 1 || cores.empty()) return "";
  if (workers > cores.size()) {
    set_allowed({cores[worker % cores.size()]});
    return fmt::format("{} workers share {} core{} of this host: --virtual-ranks does the same work faster", workers,
                       cores.size(), cores.size() == 1 ? "" : "s");
  }
  const std::size_t begin = worker * cores.size() / workers, end = (worker + 1) * cores.size() / workers;
  set_allowed({cores.begin() + static_cast<std::ptrdiff_t>(begin), cores.begin() + static_cast<std::ptrdiff_t>(end)});
  return "";
}

}  // namespace convoy
