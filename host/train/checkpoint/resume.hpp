// --resume: which checkpoints there are to go on from, and with which configuration.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/checkpoint/manifest.hpp"
#include "train/run_config.hpp"

namespace convoy {

inline constexpr const char* kResumeAuto = "auto";

// The configuration of a run: of the recipe and the command line, or, where --resume finds a checkpoint, the one
// stored there with what may change and stands on the command line. Throws UsageError, naming both values, for what may
// not (the table in run_options.cpp says which is which). --out becomes the run that goes on. Where --resume auto finds
// none, the recipe in --out stands for one that is not named.
RunConfig resolve_resuming(const std::string& recipe, const std::vector<Setting>& command_line);

// With --resume auto: why there is nothing left to do, in one line; nothing where there is. Throws UsageError where
// something else or more is asked of a run that is done and left no checkpoint.
std::optional<std::string> finished_line(const RunConfig& config);

struct Found {
  struct Candidate {
    std::filesystem::path path;
    Manifest manifest;
  };
  std::vector<Candidate> candidates;  // newest first; their files exist, their contents are not read yet
  std::vector<std::string> refused;   // a line for each other
};
// Those that --resume names (none for ""), with auto those of the run in `out`.
Found find_checkpoints(const std::string& resume, const std::string& out);

// Of a run that was at its end (--steps, --epochs) and becomes longer: how it differs from one that never ended there.
// Words that follow a semicolon; mostly empty.
std::string line_of_an_earlier_end(const Manifest& manifest, std::int64_t last_step);

// A line for the user about a checkpoint that cannot be used.
std::string refusal(const std::string& reason);

}  // namespace convoy
