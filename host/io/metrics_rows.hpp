// Rows of metrics.jsonl and ranks/N.jsonl that are there already, when a run goes on.
#pragma once

#include <cstdint>
#include <filesystem>

namespace convoy {

// How far a run had come: steps taken, and epochs whose row is written.
struct RunPosition {
  std::int64_t step = 0;
  int epochs_done = 0;
};

// Removes from the file the rows of later steps and epochs, and what follows a line that is no whole row: the end of a
// process cuts one off. Nothing where there is no file.
void cut_rows_back(const std::filesystem::path& file, const RunPosition& position);

}  // namespace convoy
