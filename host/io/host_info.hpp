// The machine, and this process's memory and environment.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convoy {

std::string host_name();
std::uint64_t network_id();        // equal where two processes share their network: loopback connects them
std::uint64_t process_space_id();  // equal where a process id means the same to both
std::uint64_t
peak_host_bytes();       // the largest resident size so far (VmHWM), shared pages included; 0 where /proc does not tell
std::string utc_time();  // "2026-11-25T04:44:22Z"
// "NAME=VALUE" of every variable whose name begins with one of these, sorted.
std::vector<std::string> environment_of(std::span<const std::string_view> prefixes);

}  // namespace convoy
