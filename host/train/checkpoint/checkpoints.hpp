// Writes the checkpoints of a run. The state is copied to host memory between two steps; a thread writes it while
// training goes on, and where the one before is still being written, training waits for that. Each worker writes the
// files of its own ranks; when the workers have agreed that all are there, the first makes them a checkpoint.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convoy/communicator.hpp"
#include "train/checkpoint/checkpoint_folder.hpp"
#include "train/checkpoint/checkpoint_interval.hpp"
#include "train/checkpoint/snapshot.hpp"
#include "train/weights_file.hpp"

namespace convoy {

struct CheckpointOptions {
  CheckpointInterval interval;
  int keep = 2;
  int local_ranks = 1;  // of this worker
};

// What is to be saved, of a step that all workers have taken.
struct CheckpointContents {
  Manifest manifest;  // all but the files
  std::function<void(TrainingState&)> visit;
  const Weights* averaged = nullptr;  // for weights.safetensors: the mean over the ranks
  WeightsInfo weights_info;
  bool is_best = false;
};

class Checkpoints {
 public:
  // `folder`: the run's, which all workers see. `warn` gets a line where a checkpoint cannot be written.
  Checkpoints(Backend& backend, Communicator& communicator, const std::filesystem::path& folder,
              const CheckpointOptions& options, std::function<void(std::string_view)> warn);

  // On the first worker, once: the time between two has passed, and the one before is written.
  bool asks_by_time();
  std::filesystem::path run() const { return folder_.run(); }  // on every worker
  // By the number of steps.
  bool is_due_after(std::int64_t step) const { return options_.interval.is_due_after(step); }
  // Neither, but when the run ends.
  bool is_wanted() const { return options_.interval.is_set(); }

  // All workers call these after the same steps. `after_step` makes what was written meanwhile a checkpoint; `finish`
  // waits for that. Returns whether the last one is safe.
  void save(CheckpointContents contents);
  void after_step(std::int64_t step);
  bool finish();

 private:
  struct UnderWay {
    Manifest manifest;
    bool is_best = false;
    std::int64_t next_look = 0;  // step after which the workers look again whether all files are there
  };
  // Of one worker: what it has written, or why it could not.
  struct Written {
    std::vector<CheckpointFile> files;
    std::string failure;
  };
  Written write(const std::filesystem::path& folder, const WeightsInfo& info) const;
  void check_room(const std::filesystem::path& folder) const;
  void complete();  // waits for what is being written
  Written gather(const Written& own);
  void wait_until_published();
  bool is_first() const { return communicator_.rank() == 0; }

  Backend& backend_;
  Communicator& communicator_;
  CheckpointFolder folder_;
  CheckpointOptions options_;
  std::function<void(std::string_view)> warn_;
  Snapshot shared_;
  std::vector<std::unique_ptr<Snapshot>> ranks_;
  std::vector<float> averaged_;  // on the first worker
  const ParamLayout* layout_ = nullptr;
  std::optional<UnderWay> under_way_;
  bool is_last_safe_ = true, has_asked_ = false;
  std::chrono::steady_clock::time_point last_time_ = std::chrono::steady_clock::now();
  // Last, for their threads read the others.
  std::future<Written> writing_;
  std::future<std::string> publishing_;  // on the first worker; why it failed, else empty
};

}  // namespace convoy
