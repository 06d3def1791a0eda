// RUN/checkpoints/: one folder a checkpoint, step-000001234, made under a temporary name by all workers of the run and
// put in place by the first; and `best`, a link to the one with the highest validation accuracy.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "train/checkpoint/manifest.hpp"

namespace convoy {

class CheckpointFolder {
 public:
  explicit CheckpointFolder(const std::filesystem::path& run) : path_(run / "checkpoints") {}

  std::filesystem::path run() const { return path_.parent_path(); }
  // A checkpoint of that step; and where its files are written before it is one.
  std::filesystem::path checkpoint(std::int64_t step) const;
  std::filesystem::path temporary(std::int64_t step) const;
  std::vector<std::int64_t> steps() const;  // newest first; none where there is no folder

  // Writes state.json and makes the temporary folder of that step a checkpoint. Keeps the last `keep`, and the best.
  void publish(const Manifest& manifest, bool is_best, int keep) const;
  void discard(std::int64_t step) const noexcept;  // its temporary folder
  // What a run left behind that ended while it wrote, and checkpoints after `step`, where it goes on from there.
  void forget_after(std::int64_t step) const;

 private:
  void link_best(std::int64_t step) const;
  void prune(int keep) const;
  void remove(std::int64_t step) const noexcept;

  std::filesystem::path path_;
};

}  // namespace convoy
