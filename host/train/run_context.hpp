// What a command hands to the trainer besides the configuration: the clock, the terminal, and the run's folder, which
// is made only when every input has proved good, so that a mistyped path moves no finished run aside.
#pragma once

#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/process_clock.hpp"
#include "io/progress.hpp"
#include "io/run_recorder.hpp"
#include "train/checkpoint/loaded_checkpoint.hpp"
#include "train/run_config.hpp"
#include "watchdog/progress.hpp"

namespace convoy {

class RunContext {
 public:
  // One rank of a run speaks and writes: the first.
  RunContext(const ProcessClock& clock, std::vector<std::string> command_line, Progress& progress, bool speaks = true)
      : clock_(clock), command_line_(std::move(command_line)), progress_(progress), speaks_(speaks) {}

  void note(std::string_view line) {
    if (speaks_) progress_.line(line);
  }

  // Makes and locks the folder (config.out or the default), moves an old run aside with a line, writes recipe.toml
  // and the running summary. Call once a run, with the resolved configuration, before the first step.
  // `resumed`: a run that goes on stays where it is, its rows cut back to the checkpoint; one that goes on in another
  // folder (--resume PATH --out DIR) takes the rows along.
  RunRecorder& open(const RunConfig& config, const RunFacts& facts, const ProgressPlan& plan,
                    const LoadedCheckpoint* resumed = nullptr);

  // The runs to come are of a series (--repeat): its folder is made, or an old one moved aside, with the first of them.
  void in_series(const RunConfig& series) { series_ = series; }
  // What was opened is over: its folder is free, and the clock starts anew.
  void end_run();

  // What this rank is doing, for whoever watches it; nobody does unless `watch_through` was called.
  RankProgress& rank_progress() { return *rank_progress_; }
  void watch_through(RankProgress& progress) { rank_progress_ = &progress; }

  // How a worker ends that others wait for; it does not return. A worker alone has no such way: its failure is thrown.
  void leave_by(std::function<void(const std::exception&)> leave) { leave_ = std::move(leave); }
  // What `work` gives. Where it throws, the worker leaves before anything that it holds is destroyed: on a device that
  // waits for the collectives under way, which without this worker may never complete, and nobody would hear why.
  template <typename Work>
  auto or_leave(const Work& work) {
    try {
      return work();
    } catch (const std::exception& error) {
      if (const auto leave = std::exchange(leave_, nullptr)) leave(error);
      throw;
    }
  }

  // Records a failure where a run is open. From any thread.
  void fail(const std::string& reason) noexcept;

 private:
  RunFolder create_folder(const std::filesystem::path& path);
  void open_series();
  RunFolder open_folder(const RunConfig& config, const LoadedCheckpoint* resumed);

  ProcessClock clock_;
  std::vector<std::string> command_line_;
  Progress& progress_;
  bool speaks_;
  std::optional<RunConfig> series_;
  std::optional<RunFolder> series_folder_;
  std::mutex mutex_;  // of what `fail` reads
  std::optional<RunRecorder> recorder_;
  std::function<void(const std::exception&)> leave_;
  RankProgress unwatched_;
  RankProgress* rank_progress_ = &unwatched_;
};

}  // namespace convoy
