// --repeat N: runs that differ by their seed alone, S ... S+N-1, each in a folder seed-S of the series' own. What the
// series is stands in its recipe.toml, the only one that says `repeat`.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/run_config.hpp"

namespace convoy {

inline bool is_series(const RunConfig& config) { return config.repeat > 1; }

// What the configuration asks for: itself, or the runs of the series, as each would be alone.
std::vector<RunConfig> runs_of(const RunConfig& config);

// Of the series in that folder; nothing where there is none.
std::optional<RunConfig> stored_series(const std::filesystem::path& folder);

// Each run's test accuracy, as its summary has it, and mean and standard deviation of all.
std::string series_table(const RunConfig& series);

}  // namespace convoy
