// state.json of a checkpoint: which run it is of, how far that had come, and what the other files must be. It is
// written last, so a folder without one is no checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/metrics_rows.hpp"

namespace convoy {

inline constexpr const char* kManifestName = "state.json";

struct CheckpointFile {
  std::string name;
  std::uint64_t bytes = 0, checksum = 0;  // see include/convoy/checksum.hpp
};

struct Manifest {
  std::int64_t step = 0;  // optimizer steps taken
  int epochs_done = 0;    // whose row is in metrics.jsonl
  int world_size = 1;     // ranks
  std::int64_t steps_per_epoch = 0;
  std::int64_t images_seen = 0;
  std::uint64_t seed = 0;
  std::string data_checksum, layout_checksum;  // hexadecimal
  std::string configuration;                   // a recipe, as recipe and command line gave it
  std::string resolved;                        // the same with what follows from the number of ranks
  double elapsed_seconds = 0;                  // of all processes that worked on the run
  std::string started;                         // UTC, the first of them
  std::optional<double> validation_accuracy;   // of these weights, where it was taken
  std::string device;
  std::map<std::string, std::string> versions;  // of its libraries
  std::vector<CheckpointFile> files;
};

RunPosition position_of(const Manifest& manifest);

// With program version and a checksum of its own.
std::string to_json(const Manifest&);

// From CHECKPOINT/state.json; throws Error in one line where it is missing, damaged or not a checkpoint's, and where a
// file that it names is missing or of another size.
Manifest read_manifest(const std::filesystem::path& checkpoint);

}  // namespace convoy
