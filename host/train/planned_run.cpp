#include "train/planned_run.hpp"

#include <algorithm>
#include <string>

#include "data/statistics.hpp"

namespace convoy {
namespace {

Split hold_out(const ImageSet& images, const RunConfig& config) {
  if (config.validation == 0) return {};
  return split_validation(images, validation_count(fmt::format("{}", config.validation), images.count()), config.seed);
}

PixelStatistics pixel_statistics(const ImageSet& training, Normalisation kind) {
  if (kind == Normalisation::unit) {
    const auto channels = static_cast<std::size_t>(training.image.channels);
    return {std::vector<double>(channels, 0.0), std::vector<double>(channels, 1.0)};
  }
  const ChannelStatistics statistics = channel_statistics(training);
  return {statistics.mean, statistics.deviation};
}

Shards deal_out(const ImageSet& training, const RunConfig& config, const World& world) {
  const ShardPlan dealing{config.seed, config.batch, world.size(), config.samples_per_rank};
  return {Sharding::parse(config.shard), dealing, training.labels};
}

// Of the validation set too: what eval makes of the test set alone must be what the run did.
int evaluation_rows_of(const RunConfig& config, const RunInputs& inputs) {
  return evaluation_rows(config.evaluation_batch, inputs.data.test.count());
}

// All that plans follow from, and some more.
std::string settings_of_plans(RunConfig config) {
  if (config.validation == 0) config.seed = 0;
  return to_toml(config);
}

}  // namespace

PlannedRun::PlannedRun(const RunInputs& inputs, const RunConfig& config_in_force, RunContext& context)
    : config(config_in_force),
      held_out(hold_out(inputs.data.train, config)),
      training_images(config.validation == 0 ? inputs.data.train : held_out.train),
      seen(pixel_statistics(training_images, config.normalisation)),
      pixels(pixel_scale(seen.mean, seen.deviation, inputs.model.shapes.input.channels)),
      shards(deal_out(training_images, config, inputs.world)),
      rank_batch(StepPlan(config, inputs.model.layout, shards.positions(), 0, inputs.world.size()).variant(0).batch),
      training(inputs.backend(), training_images,
               {.name = "training images",
                .mode = config.data_mode,
                .batch = rank_batch,
                .positions = static_cast<std::size_t>(shards.positions())}),
      test(inputs.backend(), inputs.data.test,
           {.name = "test images", .mode = config.data_mode, .batch = evaluation_rows_of(config, inputs)}),
      evaluator(inputs.backend(), inputs.communicator, inputs.model, evaluation_rows_of(config, inputs), config.views,
                pixels, std::max(inputs.data.test.count(), held_out.validation.count())) {
  if (held_out.validation.count() > 0) {
    const DeviceSetOptions options{
        .name = "validation images", .mode = config.data_mode, .batch = evaluation_rows_of(config, inputs)};
    validation.emplace(inputs.backend(), held_out.validation, options);
  }
  for (const DeviceSet* set : {&training, &test, validation ? &*validation : nullptr}) {
    if (set != nullptr && !set->line().empty()) context.note(set->line());
  }
  RankProgress& progress = context.rank_progress();
  plan_ranks(inputs, progress);
  evaluator.on_progress([&] { progress.touch(); });
  const int batches = recalibration_batches(config, inputs.model, inputs.world.size(),
                                            static_cast<std::size_t>(shards.positions()), rank_batch);
  if (batches > 0) {
    recalibration.emplace(inputs.backend(), inputs.communicator, inputs.model, config, training, pixels, rank_batch,
                          batches);
    recalibration->on_progress([&] { progress.touch(); });
  }
}

void PlannedRun::plan_ranks(const RunInputs& inputs, RankProgress& progress) {
  const World& world = inputs.world;
  const int first = inputs.communicator.rank() * world.local;
  for (int rank = first; rank < first + world.local; ++rank) {
    const StepPlan plan_of_rank(config, inputs.model.layout, shards.positions(), rank, world.size());
    ranks.push_back(
        std::make_unique<LocalRank>(inputs.backend(), inputs.model, config, plan_of_rank, training, pixels));
    ranks.back()->step.on_progress([&] { progress.touch(); });
    ranks.back()->step.prepare(plan_of_rank.variants());
    progress.touch();
  }
}

bool PlannedRun::serves(const RunConfig& other) const { return settings_of_plans(config) == settings_of_plans(other); }

void PlannedRun::take_over(const RunInputs& inputs, const RunConfig& other) {
  config = other;
  shards = deal_out(training_images, config, inputs.world);
}

}  // namespace convoy
