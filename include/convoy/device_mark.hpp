// How far a rank's device has come with collectives, as the device itself writes it into memory of the host: to be read
// also where the host's thread waits for the device. Another thread reads it at any time, hence volatile.
#pragma once

#include <cstdint>

namespace convoy {

struct DeviceMark {
  volatile std::uint64_t arrivals = 0;    // how often the computation has come to where it needs the other ranks
  volatile std::uint32_t is_waiting = 0;  // it has not gone on since the last of them

  // Odd where it waits, even between; it only rises.
  std::uint64_t position() const { return arrivals == 0 ? 0 : 2 * arrivals - (is_waiting != 0 ? 1 : 0); }
};

}  // namespace convoy
