// From a recipe and a command line to one configuration, and what may not be combined.
#include "train/run_config.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "convoy/error.hpp"
#include "data/shards.hpp"
#include "io/did_you_mean.hpp"
#include "train/checkpoint/checkpoint_interval.hpp"
#include "train/recipe_file.hpp"
#include "train/run_options.hpp"

namespace convoy {
namespace {

constexpr std::string_view kCommandLine = "command line";

// "filters.learning-rate=0.24"
void set_group_from_command_line(RunConfig& config, const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::size_t dot = text.substr(0, equals).rfind('.');
  if (equals == std::string::npos || dot == std::string::npos || dot == 0) {
    fail_usage("--group {}: NAME.OPTION=VALUE expected, for example filters.learning-rate=0.1", text);
  }
  set_group_option(config, text.substr(0, dot), text.substr(dot + 1, equals - dot - 1), text.substr(equals + 1),
                   "--group: ", std::string(kCommandLine));
}

// What the command line gives to something that is off. A recipe's may lie idle: the command line may have turned it
// off.
void check_used(const RunConfig& config) {
  for (const char* option : {"outer-learning-rate", "outer-momentum"}) {
    if (config.averaging.outer == OuterKind::average && config.is_from_command_line(option)) {
      fail_usage("--{} needs --outer slowmo or nesterov: without, an average is taken as it is", option);
    }
  }
  if (config.scale_rate != RateScaling::none && config.batch_per_rank == 0 &&
      config.is_from_command_line("scale-rate")) {
    fail_usage("--scale-rate needs --batch-per-rank: the batch is --batch whatever the number of ranks");
  }
}

}  // namespace

bool RunConfig::is_from_command_line(const std::string& option) const {
  const auto found = origins.find(option);
  return found != origins.end() && found->second == kCommandLine;
}

std::int64_t RunConfig::steps_to_take(std::int64_t steps_per_epoch) const {
  const std::int64_t scheduled = steps_per_epoch * epochs;
  return steps > 0 ? std::min(steps, scheduled) : scheduled;
}

GroupSettings RunConfig::group(const std::string& group_name) const {
  GroupSettings result = optimizer;
  const auto found = groups.find(group_name);
  if (found == groups.end()) return result;
  for (const std::string& option : found->second.given) {
    const GroupOption& row = find_group_option(option, "");
    row.set(result, row.get(found->second.settings));
  }
  return result;
}

RunConfig resolve_config(const std::string& recipe, const std::vector<Setting>& command_line) {
  RunConfig config = recipe.empty() ? RunConfig{} : read_recipe(recipe);
  for (const Setting& setting : command_line) apply_setting(config, setting);
  make_paths_absolute(config, {});
  check_config(config);
  return config;
}

void apply_setting(RunConfig& config, const Setting& setting) {
  if (setting.option == "group") {
    set_group_from_command_line(config, setting.value);
    return;
  }
  set_option(config, setting.option, setting.value, "--", std::string(kCommandLine));
  make_paths_absolute(config, {});
}

void check_config(const RunConfig& config) {
  const auto check_group = [&](const std::string& what, const GroupSettings& settings) {
    const bool is_triangular = settings.schedule == ScheduleKind::triangular;
    const bool has_warmup = settings.warmup_epochs > 0 || settings.warmup_steps > 0;
    if (is_triangular && has_warmup) {
      fail_usage("{}a triangular schedule warms up by itself: leave warmup-epochs and warmup-steps out", what);
    }
    if (settings.nesterov && settings.momentum == 0) {
      fail_usage("{}nesterov needs a momentum: give one, or leave nesterov out", what);
    }
    const double end = settings.until_epoch > 0 ? settings.until_epoch : config.epochs;
    if (settings.warmup_epochs > end) {
      fail_usage("{}warmup-epochs {} is longer than the run of {} epochs", what, settings.warmup_epochs, end);
    }
  };
  check_group("", config.optimizer);
  for (const auto& [group_name, unused] : config.groups) {
    check_group(fmt::format("groups.{}: ", group_name), config.group(group_name));
  }
  check_used(config);
  if (Sharding::parse(config.shard).needs_samples_per_rank() && config.samples_per_rank == 0) {
    fail_usage("--shard {} needs --samples-per-rank N: how many samples each rank has", config.shard);
  }
  if (config.on_nan == OnNan::rollback && !CheckpointInterval::parse(config.checkpoint_every).is_set()) {
    fail_usage("--on-nan rollback needs checkpoints to go back to: give --checkpoint-every too, 500 or 5m for example");
  }
  constexpr std::size_t kMostGroups = kMaxGroups;
  if (config.groups.size() > kMostGroups) {
    fail_usage("{} parameter groups, at most {}", config.groups.size(), kMostGroups);
  }
}

std::vector<std::string> match_groups(RunConfig& config, std::span<const std::string> network_groups) {
  const std::vector<std::string_view> known(network_groups.begin(), network_groups.end());
  std::vector<std::string> unknown;
  for (const auto& [group_name, unused] : config.groups) {
    if (std::find(known.begin(), known.end(), group_name) == known.end()) unknown.push_back(group_name);
  }
  std::vector<std::string> lines;
  for (const std::string& group_name : unknown) {
    if (!config.is_from_command_line("model")) {
      fail_usage("groups.{}: network {} has no such parameter group, but {}{}", group_name, config.model,
                 fmt::join(known, ", "), did_you_mean(group_name, known));
    }
    lines.push_back(fmt::format("network {} has no parameter group {}: what the recipe says of it is left out",
                                config.model, group_name));
    config.groups.erase(group_name);
    std::erase_if(config.origins,
                  [&](const auto& origin) { return origin.first.starts_with(fmt::format("groups.{}.", group_name)); });
  }
  return lines;
}

std::vector<std::string> config_warnings(const RunConfig& config) {
  std::vector<std::string> warnings;
  for (const GroupOption& row : group_options()) {
    const std::string option(row.name);
    if (!config.is_from_command_line(option)) continue;
    std::vector<std::string> overriding;
    for (const auto& [group_name, group] : config.groups) {
      const std::string full_name = fmt::format("groups.{}.{}", group_name, option);
      const bool is_given = std::binary_search(group.given.begin(), group.given.end(), option);
      if (is_given && !config.is_from_command_line(full_name)) overriding.push_back(group_name);
    }
    if (overriding.empty()) continue;
    warnings.push_back(
        fmt::format("--{} does not reach the parameter groups {}: the recipe gives them their own "
                    "(--group {}.{}=VALUE changes one)",
                    option, fmt::join(overriding, ", "), overriding.front(), option));
  }
  return warnings;
}

}  // namespace convoy
