// What the trainer tells a run: rows of metrics.jsonl, summary.json from the first step to the end, and the
// progress on the terminal. Owned by the command; one per run, on rank 0.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/metrics.hpp"
#include "io/process_clock.hpp"
#include "io/progress.hpp"
#include "io/run_folder.hpp"

namespace convoy {

class RunRecorder {
 public:
  // command_line: as typed, for summary.json. Without a folder nothing is written: a rank that is not the first.
  RunRecorder(std::optional<RunFolder> folder, std::vector<std::string> command_line, const ProcessClock& clock,
              Progress& progress);

  // Before the first step: writes recipe.toml (the resolved configuration, as a recipe) and summary.json with
  // `state` running. `configuration` is the same as a JSON object for summary.json.
  void start(const RunFacts& facts, const std::string& recipe_toml, const std::string& configuration_json,
             const ProgressPlan& plan);
  // Before start: times go on, and so do the counts until the first row.
  void go_on_after(const EarlierWork& earlier);

  void note(std::string_view line);     // a line for the user; also the run's first lines
  void tick(const RunResults& so_far);  // after every step; redraws the bar at most ten times a second
  // Rows of metrics.jsonl; flushed. Now and then summary.json is written anew too, as of the last tick.
  void step(const StepMetrics& row);
  void epoch(const EpochMetrics& row);        // and a line
  void rollback(const RollbackMetrics& row);  // and a line
  // The end: the state done with the final table; stopped (--steps, a signal); or failed, which never throws and may
  // come from another thread.
  void finish(const RunResults& results);
  void stop(const RunResults& results, const std::string& reason);
  void fail(const std::string& reason) noexcept;

  const RunFolder* folder() const { return folder_ ? &*folder_ : nullptr; }
  const ProcessClock& clock() const { return clock_; }
  double seconds() const { return seconds_before_ + clock_.seconds(); }  // of all processes that worked on the run
  double seconds_before() const { return seconds_before_; }              // of earlier ones
  const std::string& started() const { return started_; }

 private:
  void end(const std::string& state, const std::string& reason, const RunResults& results);
  void refresh_summary();
  void write_summary(const std::string& state, const std::string& reason);

  std::optional<RunFolder> folder_;
  std::vector<std::string> command_line_;
  const ProcessClock& clock_;
  Progress& progress_;
  std::string started_;  // UTC
  double seconds_before_ = 0;
  std::optional<std::int64_t> resumed_at_;  // step
  RunFacts facts_;
  std::mutex mutex_;    // of what follows, and of summary.json
  RunResults results_;  // so far
  bool has_ended_ = false;
  std::optional<double> refreshed_;  // when, by the clock
  std::string configuration_json_;
};

}  // namespace convoy
