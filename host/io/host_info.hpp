// The machine and this process's memory, for summary.json.
#pragma once

#include <cstdint>
#include <string>

namespace convoy {

std::string host_name();
std::uint64_t peak_host_bytes();  // the largest resident size so far (VmHWM); 0 where /proc does not tell
std::string utc_time();           // "2026-11-25T04:44:22Z"

}  // namespace convoy
