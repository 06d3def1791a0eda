// Whether a folder is the same one on all hosts: runs, checkpoints and the watchdog's last word are written there.
#pragma once

#include <filesystem>

#include "convoy/communicator.hpp"
#include "preflight/finding.hpp"

namespace convoy {

// All workers call it. The first makes the folder and writes a file, which all must see within `patience` seconds.
Findings check_shared_folder(const std::filesystem::path& folder, Communicator& communicator, double patience = 10);

}  // namespace convoy
