// Where the watchdogs of a job meet: a port of rank 0's process, and a token that keeps strangers out.
// Rank 0's process listens before the others are told, so that nobody comes too early.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "watchdog/fd.hpp"

namespace convoy {

// A secret: whoever has the token can end the job.
struct Rendezvous {
  static constexpr std::size_t kBytes = 1024;
  using Bytes = std::array<std::uint8_t, kBytes>;

  std::string host;
  std::vector<std::string> addresses;  // numeric, IPv4 and IPv6, loopback left out
  std::uint16_t port = 0;              // 0: nobody listens
  std::array<std::uint8_t, 16> token{};
  std::uint64_t network = 0;  // equal where loopback leads to rank 0's process

  // Always kBytes, so that one broadcast carries them; addresses that find no room are left out.
  Bytes to_bytes() const;
  static Rendezvous from_bytes(std::span<const std::uint8_t> bytes);  // port 0 where they are none
};

class WatchdogListener {
 public:
  WatchdogListener() = default;    // of a process that is not rank 0's
  static WatchdogListener open();  // on every interface, any free port; where that fails, rendezvous().port is 0

  const Rendezvous& rendezvous() const { return rendezvous_; }
  watchdog::Fd& socket() { return socket_; }

 private:
  watchdog::Fd socket_;
  Rendezvous rendezvous_;
};

}  // namespace convoy
