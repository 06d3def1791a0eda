// Quantities of a recipe are global; these are the rules by which they change with the number of ranks.
#include "train/world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "convoy/error.hpp"
#include "data/shards.hpp"
#include "train/averaging_policy.hpp"

namespace convoy {
namespace {

constexpr double kWarmupShare = 0.05;  // of the epochs, where scaled rates come without a warm-up of their own

double rate_factor(RateScaling scaling, double batches) {
  switch (scaling) {
    case RateScaling::none:
      return 1;
    case RateScaling::sqrt:
      return std::sqrt(batches);
    case RateScaling::linear:
      return batches;
  }
  return 1;
}

bool warms_up(const GroupSettings& settings) {
  return settings.schedule == ScheduleKind::triangular || settings.warmup_epochs > 0 || settings.warmup_steps > 0;
}

// A larger rate is reached step by step (Goyal et al. 2017), unless something in the recipe warms up by itself.
void scale_rates(RunConfig& config, double factor) {
  config.optimizer.learning_rate *= factor;
  bool has_warmup = warms_up(config.optimizer);
  for (auto& [name, group] : config.groups) {
    group.settings.learning_rate *= factor;  // counts only where the group gives one
    has_warmup = has_warmup || warms_up(config.group(name));
  }
  if (factor > 1 && !has_warmup) config.optimizer.warmup_epochs = kWarmupShare * config.epochs;
}

void resolve_policy(RunConfig& config, const World& world, std::vector<std::string>& lines) {
  const bool is_said = !config.average.empty();
  if (!is_said) config.average = "step";
  if (world.size() == 1) return;
  const AveragingPolicy policy = AveragingPolicy::parse(config.average);
  const char* reason = !is_said                                 ? "the default: as one rank on the same batches"
                       : config.is_from_command_line("average") ? "as asked"
                                                                : "recipe";
  lines.push_back(fmt::format("average: {} [{}]", config.average, reason));
  if (!policy.warning().empty())
    lines.push_back(fmt::format("warning: --average {}: {}", config.average, policy.warning()));
}

void resolve_batch(RunConfig& config, const World& world, std::vector<std::string>& lines) {
  const int one_rank_batch = config.batch;
  if (config.batch_per_rank > 0) {
    config.batch = global_batch(config, world);
    const double batches = static_cast<double>(config.batch) / one_rank_batch;
    const double factor = rate_factor(config.scale_rate, batches);
    if (factor != 1) {
      scale_rates(config, factor);
      lines.push_back(fmt::format("rates: times {:.4g}, for a batch of {} instead of {} [--scale-rate]", factor,
                                  config.batch, one_rank_batch));
    }
    config.batch_per_rank = 0;
    config.scale_rate = RateScaling::none;
  } else if (world.size() > 1) {
    if (config.batch < world.size()) {
      fail_usage("{} ranks share batches of {} images: use at most {} ranks, a larger --batch, or --batch-per-rank",
                 world.size(), config.batch, config.batch);
    }
    lines.push_back(
        fmt::format("each rank takes {} of a step's {} images; --batch-per-rank {} gives every rank as many "
                    "as one rank alone has",
                    config.batch / world.size(), config.batch, config.batch));
  }
}

// A shard is a rank's by its nature, so this part of a configuration is not the same for any number of ranks.
void resolve_shards(const RunConfig& config, const World& world, std::vector<std::string>& lines) {
  const bool counts_per_rank = config.samples_per_rank > 0;
  if (counts_per_rank && config.batch % world.size() != 0) {
    fail_usage(
        "--samples-per-rank {}: {} ranks take unequal parts of a step's {} images: give --batch-per-rank instead",
        config.samples_per_rank, world.size(), config.batch);
  }
  const Sharding sharding = Sharding::parse(config.shard);
  if (config.shard != "epoch" || counts_per_rank) {
    lines.push_back(fmt::format("shard {}: {}", config.shard, sharding.summary()));
    if (counts_per_rank) lines.back() += fmt::format("; {} images of each rank in an epoch", config.samples_per_rank);
  }
}

bool starts_apart(const RunConfig& config, const World& world) {
  return config.start == WeightStart::own && world.size() > 1;
}

void warn_of_start(const RunConfig& config, const World& world, std::vector<std::string>& lines) {
  if (!starts_apart(config, world)) return;
  lines.push_back(
      "warning: --start own: averages of weights that started apart are near chance; --start common gives all ranks "
      "the first one's");
}

}  // namespace

int global_batch(const RunConfig& config, const World& world) {
  return config.batch_per_rank > 0 ? config.batch_per_rank * world.size() : config.batch;
}

std::vector<std::string> resolve_ranks(RunConfig& config, const World& world) {
  std::vector<std::string> lines;
  resolve_policy(config, world, lines);
  resolve_batch(config, world, lines);
  resolve_shards(config, world, lines);
  warn_of_start(config, world, lines);
  return lines;
}

std::string advice_at_end(const RunConfig& config, const World& world) {
  if (!starts_apart(config, world)) return "";
  return "the averaged model is near chance, however good each rank is, because the ranks started apart: a filter that "
         "one learnt has another place in each of the others, and their mean is none of them. --start common with "
         "--average epoch or step keeps them one network; --recipe local-sgd trains this network so";
}

}  // namespace convoy
