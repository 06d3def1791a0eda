#include "train/checkpoint/resume.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "convoy/error.hpp"
#include "io/run_summary.hpp"
#include "train/averaging_policy.hpp"
#include "train/checkpoint/checkpoint_folder.hpp"
#include "train/run_options.hpp"
#include "train/series.hpp"
#include "train/world.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t kLongestShown = 200;  // of a value in a message
constexpr const char* kRecipeName = "recipe.toml";

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// A run's own: all its processes have the first one's start.
void check_origin(const fs::path& checkpoint, const Manifest& manifest) {
  const Json summary = read_summary(checkpoint.parent_path().parent_path());
  const std::string started = summary.is_object() ? summary.value("started", manifest.started) : manifest.started;
  CONVOY_CHECK(started == manifest.started, "{}: of another run, which started at {} and not at {}",
               checkpoint.string(), manifest.started, started);
}

void consider(const fs::path& checkpoint, Found& found) {
  try {
    Manifest manifest = read_manifest(checkpoint);
    check_origin(checkpoint, manifest);
    found.candidates.push_back({checkpoint, std::move(manifest)});
  } catch (const std::exception& error) {
    found.refused.push_back(refusal(error.what()));
  }
}

Found find_in_run(const fs::path& run) {
  Found found;
  const CheckpointFolder folder(run);
  for (const std::int64_t step : folder.steps()) consider(folder.checkpoint(step), found);
  return found;
}

fs::path without_slash(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.filename().empty() ? normal.parent_path() : normal;
}

// Of the last setting of that name; empty where there is none.
std::string value_of(const std::vector<Setting>& settings, std::string_view option) {
  const auto last =
      std::find_if(settings.rbegin(), settings.rend(), [&](const Setting& s) { return s.option == option; });
  return last == settings.rend() ? "" : last->value;
}

[[noreturn]] void fail_fixed(const std::string& option, const std::string& old_value, const std::string& new_value) {
  fail_usage("--{}: the run has '{}' and cannot go on with '{}'; leave it out, or start anew with another --out",
             option, old_value.substr(0, kLongestShown), new_value.substr(0, kLongestShown));
}

// Group settings may not change; the first of a group's options that does is shown. A group of a recipe that the run
// does not have was none of its network's.
void check_groups(const RunConfig& before, const RunConfig& after) {
  for (const auto& [group_name, unused] : after.groups) {
    const GroupSettings old_settings = before.group(group_name), new_settings = after.group(group_name);
    for (const GroupOption& row : group_options()) {
      const std::string full_name = fmt::format("groups.{}.{}", group_name, row.name);
      if (!before.groups.contains(group_name) && !after.is_from_command_line(full_name)) continue;
      const std::string old_value = row.get(old_settings), new_value = row.get(new_settings);
      if (old_value != new_value) fail_fixed(fmt::format("group {}.{}", group_name, row.name), old_value, new_value);
    }
  }
}

void change(RunConfig& config, const Setting& setting) {
  RunConfig changed = config;
  apply_setting(changed, setting);
  if (setting.option == "group") {
    check_groups(config, changed);
    return;
  }
  const RunOption& row = find_run_option(setting.option, "--");
  const std::string old_value = row.get(config), new_value = row.get(changed);
  if (row.on_resume == OnResume::fixed && old_value != new_value) fail_fixed(setting.option, old_value, new_value);
  config = std::move(changed);
}

// A run that is done and can go on from nothing: what is asked must be what it was. Throws UsageError.
void check_same(const RunConfig& asked, const Json& summary) {
  const fs::path recipe = fs::absolute(asked.out) / kRecipeName;
  if (!is_there(recipe)) return;
  const RunConfig done = resolve_config(recipe.string(), {});
  if (asked.name != done.name) fail_fixed("recipe", done.name, asked.name);
  RunConfig wanted = asked;
  resolve_ranks(wanted, {.workers = summary.value("world_size", 1)});  // as the stored recipe is
  const auto steps = summary.value("steps", std::int64_t{0});
  if (wanted.steps_to_take(steps / done.epochs) > steps) {
    fail_usage("{} is done and left no checkpoint to go on from; use another --out, with --checkpoint-every",
               asked.out);
  }
  for (const RunOption& row : run_options()) {
    // Where the device lacks a recipe's precision, another is in force.
    if (row.name == "precision" && !wanted.is_from_command_line("precision")) continue;
    const std::string old_value = row.get(done), new_value = row.get(wanted);
    if (row.on_resume == OnResume::fixed && old_value != new_value) {
      fail_fixed(std::string(row.name), old_value, new_value);
    }
  }
  check_groups(done, wanted);
}

// One may become longer, or shorter, but no run a series.
void check_series(const RunConfig& before, const RunConfig& after) {
  if (is_series(before) == is_series(after)) return;
  if (is_series(after)) fail_usage("--repeat: a single run cannot become a series; use another --out");
  fail_fixed("repeat", fmt::format("{}", before.repeat), fmt::format("{}", after.repeat));
}

// What is stored, with what may change and stands on the command line.
RunConfig changed(const RunConfig& stored, const std::string& recipe, const std::vector<Setting>& command_line) {
  if (!recipe.empty()) {
    const std::string recipe_name = resolve_config(recipe, {}).name;
    if (recipe_name != stored.name) fail_fixed("recipe", stored.name, recipe_name);
  }
  RunConfig config = stored;
  for (const Setting& setting : command_line) change(config, setting);
  check_series(stored, config);
  check_config(config);
  return config;
}

}  // namespace

std::string refusal(const std::string& reason) { return fmt::format("checkpoint refused: {}", reason); }

Found find_checkpoints(const std::string& resume, const std::string& out) {
  if (resume.empty()) return {};
  if (resume == kResumeAuto) return find_in_run(without_slash(out));
  const fs::path path = without_slash(resume);
  if (!is_there(path / "checkpoints")) {
    Found found;
    consider(path, found);
    return found;
  }
  return find_in_run(path);
}

RunConfig resolve_resuming(const std::string& recipe, const std::vector<Setting>& command_line) {
  RunConfig where;
  where.resume = value_of(command_line, "resume");
  where.out = value_of(command_line, "out");
  if (where.resume.empty()) return resolve_config(recipe, command_line);
  const bool is_auto = where.resume == kResumeAuto;
  if (is_auto && where.out.empty()) fail_usage("--resume auto: --out DIR is needed: the folder of the run");
  if (is_auto) {
    if (const std::optional<RunConfig> series = stored_series(where.out)) return changed(*series, recipe, command_line);
  }
  const Found found = find_checkpoints(where.resume, where.out);
  if (found.candidates.empty()) {
    if (!is_auto) {
      fail_usage("--resume {}: {}", where.resume,
                 found.refused.empty() ? "no checkpoint is there" : found.refused.front());
    }
    const fs::path stored = fs::absolute(where.out) / kRecipeName;
    if (!is_there(stored)) return resolve_config(recipe, command_line);
    // It starts afresh, so all may change; what is not said stays as it was.
    RunConfig config = resolve_config(recipe.empty() ? stored.string() : recipe, command_line);
    check_series(resolve_config(stored.string(), {}), config);
    return config;
  }
  const Found::Candidate& newest = found.candidates.front();
  RunConfig config = changed(parse_recipe(newest.manifest.configuration, (newest.path / kManifestName).string()),
                             recipe, command_line);
  if (config.out.empty()) config.out = newest.path.parent_path().parent_path().string();
  return config;
}

std::optional<std::string> finished_line(const RunConfig& config) {
  if (config.resume != kResumeAuto) return std::nullopt;
  const Json summary = read_summary(config.out);
  if (!summary.is_object() || !is_there(fs::path(config.out) / "weights.safetensors")) return std::nullopt;
  const bool is_done = summary.value("state", "") == "done",
             was_told = summary.value("reason", "").starts_with("--steps");
  if (!is_done && !was_told) return std::nullopt;
  const auto steps = summary.value("steps", std::int64_t{0});
  const Found found = find_checkpoints(config.resume, config.out);
  if (found.candidates.empty()) {
    if (!is_done) return std::nullopt;
    check_same(config, summary);
  } else if (steps < config.steps_to_take(found.candidates.front().manifest.steps_per_epoch)) {
    return std::nullopt;
  }
  return fmt::format("the run in {} has taken its {} steps: nothing to resume", config.out, steps);
}

std::string line_of_an_earlier_end(const Manifest& manifest, std::int64_t last_step) {
  const RunConfig before = parse_recipe(manifest.resolved, kManifestName);
  const bool had_ended = manifest.step == before.steps_to_take(manifest.steps_per_epoch);
  if (manifest.world_size == 1 || !had_ended || last_step <= manifest.step) return "";
  const AveragingPolicy policy = AveragingPolicy::parse(before.average);
  const PolicyStep end{
      .step = manifest.step - 1, .steps_per_epoch = manifest.steps_per_epoch, .last_step = manifest.step};
  PolicyStep within = end;
  within.last_step = last_step;
  if (policy.at(end) == policy.at(within)) return "";
  return "it had ended there with an average of its ranks' weights, so it may differ from a run without that end";
}

}  // namespace convoy
