// What this host gives its workers besides a device: shared memory, locked memory, networks, clock; and what in the
// environment steers the libraries that talk between workers.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "preflight/finding.hpp"

namespace convoy {

struct NetworkInterface {
  std::string name, address;
  std::optional<int> megabits;  // a second, as the driver says; absent where it does not
};

struct HostFacts {
  std::string host;
  std::uint64_t shared_memory = 0;                                     // bytes of /dev/shm
  std::uint64_t lockable = std::numeric_limits<std::uint64_t>::max();  // bytes (ulimit -l)
  std::vector<NetworkInterface> interfaces;  // that are up and have an IPv4 address, without loopback; fastest first
  std::vector<std::string> infiniband;       // devices
  std::vector<std::string> environment;      // "NCCL_DEBUG=INFO", sorted
};
HostFacts host_facts();

// One line for people.
std::string describe(const HostFacts& facts);

// What is wrong with a host for `workers` workers on it, which NCCL connects or does not, in a job of several hosts or
// not; each with what to do.
Findings judge(const HostFacts& facts, int workers, bool has_nccl, bool has_other_hosts);

}  // namespace convoy
