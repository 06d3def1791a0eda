// One line when an old run is moved aside, none otherwise.
#include "train/run_context.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "train/checkpoint/checkpoint_folder.hpp"
#include "train/series.hpp"

namespace convoy {
namespace {

constexpr const char* kMetricsName = "metrics.jsonl";

EarlierWork earlier_work(const Manifest& manifest) {
  return {.step = manifest.step,
          .epochs_done = manifest.epochs_done,
          .images_seen = manifest.images_seen,
          .seconds = manifest.elapsed_seconds,
          .started = manifest.started};
}

}  // namespace

RunFolder RunContext::create_folder(const std::filesystem::path& path) {
  RunFolder folder = RunFolder::create(path);
  if (folder.moved_to()) note(fmt::format("the run in {} is now {}", path.string(), folder.moved_to()->string()));
  return folder;
}

void RunContext::open_series() {
  const bool goes_on = !series_->resume.empty() && stored_series(series_->out);
  series_folder_ = goes_on ? RunFolder::reopen(series_->out) : create_folder(series_->out);
  series_folder_->write_text("recipe.toml", to_toml(*series_));
}

RunFolder RunContext::open_folder(const RunConfig& config, const LoadedCheckpoint* resumed) {
  const std::filesystem::path path =
      config.out.empty() ? default_run_path(config.name) : std::filesystem::path(config.out);
  std::error_code ignored;
  if (resumed != nullptr && std::filesystem::equivalent(path, resumed->run(), ignored)) return RunFolder::reopen(path);
  RunFolder folder = create_folder(path);
  const std::filesystem::path rows = resumed != nullptr ? resumed->run() / kMetricsName : "";
  if (std::filesystem::exists(rows, ignored)) std::filesystem::copy_file(rows, folder.file(kMetricsName));
  return folder;
}

RunRecorder& RunContext::open(const RunConfig& config, const RunFacts& facts, const ProgressPlan& plan,
                              const LoadedCheckpoint* resumed) {
  std::optional<RunFolder> folder;
  if (speaks_ && series_ && !series_folder_) open_series();
  if (speaks_) folder = open_folder(config, resumed);
  if (folder) {
    CheckpointFolder(folder->path()).forget_after(resumed != nullptr ? resumed->manifest().step : 0);
    if (resumed != nullptr) cut_rows_back(folder->file(kMetricsName), position_of(resumed->manifest()));
  }
  const std::lock_guard lock(mutex_);
  recorder_.emplace(std::move(folder), command_line_, clock_, progress_);
  if (resumed != nullptr) recorder_->go_on_after(earlier_work(resumed->manifest()));
  recorder_->start(facts, to_toml(config), to_json(config), plan);
  return *recorder_;
}

void RunContext::end_run() {
  const std::lock_guard lock(mutex_);
  recorder_.reset();
  clock_.restart();
}

void RunContext::fail(const std::string& reason) noexcept {
  const std::lock_guard lock(mutex_);
  if (recorder_) recorder_->fail(reason);
}

}  // namespace convoy
