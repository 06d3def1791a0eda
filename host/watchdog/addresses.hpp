// This machine's addresses, and the ways that lead to rank 0's process.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "watchdog/rendezvous.hpp"

namespace convoy::watchdog {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

// Of the interfaces that are up, without loopback and link-local ones; IPv4 first.
std::vector<std::string> interface_addresses();

// Loopback on the same machine, and the listed addresses that are not this machine's own.
std::vector<Address> addresses_to_try(const Rendezvous& rendezvous);
// What this machine's resolver makes of the host's name; may take seconds.
std::vector<Address> resolve(const Rendezvous& rendezvous);

}  // namespace convoy::watchdog
