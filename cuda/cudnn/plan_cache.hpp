// Plans as texts on disk, for later runs on this machine. May be removed at any time.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace convoy::cuda::cudnn {

// $CONVOY_CACHE/plans, $XDG_CACHE_HOME/convoy/plans or ~/.cache/convoy/plans; empty where there is none of them.
std::filesystem::path plan_folder();

class PlanCache {
 public:
  // Where the folder's name is empty nothing is kept.
  explicit PlanCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Nothing where there is none, or none that can be read.
  std::optional<std::string> find(const std::string& key) const;
  // What cannot be written is done without: a full or read-only home must not stop a run.
  void keep(const std::string& key, const std::string& text) const;

 private:
  std::filesystem::path file_of(const std::string& key) const;

  std::filesystem::path folder_;
};

}  // namespace convoy::cuda::cudnn
