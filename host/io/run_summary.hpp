// summary.json of a run, as it was left.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace convoy {

// Null where there is none, or none that can be read.
nlohmann::json read_summary(const std::filesystem::path& run);

}  // namespace convoy
