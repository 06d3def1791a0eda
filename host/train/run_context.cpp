// One line when an old run is moved aside, none otherwise.
#include "train/run_context.hpp"

#include <fmt/format.h>

namespace convoy {

RunRecorder& RunContext::open(const RunConfig& config, const RunFacts& facts, const ProgressPlan& plan) {
  std::optional<RunFolder> folder;
  if (speaks_) folder = RunFolder::create(config.out.empty() ? default_run_path(config.name).string() : config.out);
  if (folder && folder->moved_to()) {
    note(fmt::format("the run in {} is now {}", folder->path().string(), folder->moved_to()->string()));
  }
  recorder_.emplace(std::move(folder), command_line_, clock_, progress_);
  recorder_->start(facts, to_toml(config), to_json(config), plan);
  return *recorder_;
}

void RunContext::fail(const std::string& reason) noexcept {
  if (recorder_) recorder_->fail(reason);
}

}  // namespace convoy
