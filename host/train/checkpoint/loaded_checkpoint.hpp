// A checkpoint in host memory, read and proved whole: of its files those that this worker needs.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "convoy/communicator.hpp"
#include "io/safetensors.hpp"
#include "train/checkpoint/manifest.hpp"
#include "train/checkpoint/state_visitor.hpp"
#include "train/local_rank.hpp"
#include "train/run_config.hpp"
#include "train/world.hpp"

namespace convoy {

class LoadedCheckpoint {
 public:
  // Throws Error in one line where a file is not what the manifest says.
  LoadedCheckpoint(const std::filesystem::path& checkpoint, Manifest manifest, int first_rank, const World& world);

  const Manifest& manifest() const { return manifest_; }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path run() const { return path_.parent_path().parent_path(); }
  bool has_other_ranks(const World& world) const { return manifest_.world_size != world.size(); }

  void restore(Backend& backend, const World& world, const std::function<void(TrainingState&)>& visit) const;

 private:
  SafetensorsFile open(const std::string& name) const;

  std::filesystem::path path_;
  Manifest manifest_;
  SafetensorsFile shared_;
  std::vector<SafetensorsFile> ranks_;  // this worker's; all of them where their number has changed
  bool is_first_;
};

// What --resume asks for: of the checkpoints that the first worker finds, the newest that is whole on all workers; none
// without --resume, or where there is nothing to go on from. All workers call it. `note` gets a line about each that is
// refused.
std::optional<LoadedCheckpoint> load_checkpoint(const std::string& resume, const std::string& out,
                                                Communicator& communicator, const World& world,
                                                const std::function<void(std::string_view)>& note);

// The configuration with which the run goes on: where its number of ranks has changed, now or in an earlier turn, what
// once followed from that number stays, the batch above all. Throws UsageError where a rank's samples are its own,
// which others cannot take over.
RunConfig with_batches_of(const Manifest& manifest, const RunConfig& config, const World& world);

}  // namespace convoy
