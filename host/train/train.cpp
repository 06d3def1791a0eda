// Puts the parts of a run together, in the order in which data flow.
#include "train/train.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"
#include "data/shards.hpp"
#include "data/shared_dataset.hpp"
#include "data/split.hpp"
#include "data/statistics.hpp"
#include "io/host_info.hpp"
#include "io/stop_signals.hpp"
#include "train/accord.hpp"
#include "train/agreement.hpp"
#include "train/averager.hpp"
#include "train/checkpoint/checkpoints.hpp"
#include "train/checkpoint/loaded_checkpoint.hpp"
#include "train/devices.hpp"
#include "train/first_weights.hpp"
#include "train/local_rank.hpp"
#include "train/picture_extent.hpp"
#include "train/recalibration.hpp"
#include "train/trainer.hpp"
#include "train/weights_file.hpp"
#include "train/workers.hpp"
#include "train/world.hpp"

namespace convoy {
namespace {

struct Sets {
  ImageSet train, validation, test;  // validation may be empty
};

Sets split_sets(Dataset& data, const RunConfig& config) {
  CONVOY_CHECK(data.train.count() > 0, "{}: has no training images", data.origin);
  CONVOY_CHECK(data.test.count() > 0, "{}: has no test images", data.origin);
  if (config.test_images > 0) data.test.keep_first(static_cast<std::size_t>(config.test_images));
  if (config.validation == 0) return {std::move(data.train), {}, std::move(data.test)};
  const std::size_t count = validation_count(fmt::format("{}", config.validation), data.train.count());
  Split split = split_validation(data.train, count, config.seed);
  return {std::move(split.train), std::move(split.validation), std::move(data.test)};
}

struct PixelStatistics {
  std::vector<double> mean, deviation;
};

// By channel of the data, pixels in 0..1.
PixelStatistics pixel_statistics(const ImageSet& training, Normalisation kind) {
  if (kind == Normalisation::unit) {
    const auto channels = static_cast<std::size_t>(training.image.channels);
    return {std::vector<double>(channels, 0.0), std::vector<double>(channels, 1.0)};
  }
  const ChannelStatistics statistics = channel_statistics(training);
  return {statistics.mean, statistics.deviation};
}

RunFacts facts_of(const RunConfig& config, const Dataset& data, const Model& model, const DeviceInfo& device,
                  int world_size) {
  RunFacts facts;
  facts.recipe = config.name;
  facts.model = model.network.name;
  facts.data_name = data.name;
  facts.data_origin = data.origin;
  facts.data_checksum = fmt::format("{:016x}", data.checksum);
  facts.device = describe(device);
  facts.precision = name(device.precision);
  facts.parameters = static_cast<std::int64_t>(model.layout.weight_count());
  facts.average_bytes = static_cast<std::int64_t>(model.layout.communicated_elements * sizeof(float));
  facts.world_size = world_size;
  facts.versions = device.versions;
  return facts;
}

// What in the environment changes how NCCL moves data; often empty.
std::string steering_line(const Communicator& communicator) {
  constexpr std::string_view kPrefixes[] = {"NCCL_"};
  const std::vector<std::string> set =
      communicator.kind() == "nccl" ? environment_of(kPrefixes) : std::vector<std::string>();
  return set.empty() ? "" : fmt::format("in force: {}", fmt::join(set, " "));
}

// The same on all workers, whose mathematics libraries may differ in a last digit.
void check_shards(Communicator& communicator, const Shards& shards) {
  const Samples order = shards.order(0);
  const Agreed item[] = {
      {"shards", fmt::format("checksum {:016x}", checksum(order.data(), order.size() * sizeof(std::int32_t)))}};
  agree(communicator, item);
}

// Of this worker's ranks, in the folder that the first worker has made.
std::vector<RankLog> open_rank_logs(const RunConfig& config, Communicator& communicator, const World& world,
                                    const RunRecorder& recorder, const DeviceInfo& device,
                                    const std::optional<RunPosition>& resumed) {
  std::vector<RankLog> logs;
  if (!config.log_ranks) return logs;
  const std::string own =
      recorder.folder() != nullptr ? std::filesystem::absolute(recorder.folder()->path()).string() : "";
  const std::string folder = communicator.gather(own).front();
  for (int local = 0; local < world.local; ++local) {
    logs.emplace_back(folder, communicator.rank() * world.local + local, world.size(), describe(device), recorder,
                      resumed);
  }
  return logs;
}

// The data that the checkpoint's samples are of, and the network that its arenas are of.
void check_same(const LoadedCheckpoint& checkpoint, const Dataset& data, const ParamLayout& layout) {
  const Manifest& manifest = checkpoint.manifest();
  const std::string found = fmt::format("{:016x}", data.checksum);
  if (found != manifest.data_checksum) {
    fail_usage("{}: the run was on data of checksum {}, these have {}; give the same --data, or another --out",
               data.origin, manifest.data_checksum, found);
  }
  CONVOY_CHECK(layout_checksum(layout) == manifest.layout_checksum,
               "{}: of a network with other tensors; take the program that wrote it, or give another --out",
               checkpoint.path().string());
}

std::string resumed_line(const LoadedCheckpoint& checkpoint, const RunConfig& config, const World& world) {
  const Manifest& manifest = checkpoint.manifest();
  std::string line = fmt::format("resumed after step {} from {}", manifest.step, checkpoint.path().string());
  if (checkpoint.has_other_ranks(world)) {
    line += fmt::format("; {} ranks before, {} now: they go on from the mean of weights and moments, in batches of {}",
                        manifest.world_size, world.size(), config.batch);
  }
  return line;
}

}  // namespace

RunResults train(RunConfig config, Communicator& workers, RunContext& context) {
  RankProgress& rank_progress = context.rank_progress();
  ChosenDevice device = choose_device(config, workers.split_by_host()->rank());
  Backend& backend = *device.backend;
  const std::unique_ptr<Communicator> between_devices = connect_devices(workers, backend, config);
  Communicator& communicator = between_devices ? *between_devices : workers;
  context.note(device.line);
  for (const std::string& warning : device.warnings) context.note(warning);
  if (const std::string line = steering_line(communicator); !line.empty()) context.note(line);
  for (const std::string& warning : config_warnings(config)) context.note(warning);
  if (config.profile_steps.first > 0 && backend.info().kind == "cpu") {
    context.note("--profile-steps: nothing to tell a profiler of on the CPU; perf and the like see all of it");
  }
  const World world{communicator.size(), config.virtual_ranks};

  rank_progress.enter(Phase::reading_data);
  const std::optional<LoadedCheckpoint> resumed =
      load_checkpoint(config, communicator, world, [&](std::string_view text) { context.note(text); });
  if (!config.resume.empty() && !resumed) context.note("no checkpoint to go on from: the run starts afresh");
  Network network = load_network(config.model);
  auto [data, line] = load_shared_dataset(
      {.path = config.data, .coarse_labels = config.labels == LabelKind::coarse, .pictures = pictures_for(network)},
      communicator);
  if (!line.empty()) context.note(line);
  for (const std::string& text : data.notes) context.note(text);
  const Sets sets = split_sets(data, config);
  const Extent image = sets.train.image;
  const Model model = make_model(std::move(network), data.classes(), image.channels);
  check_image(model.network, image);
  for (const std::string& text : match_groups(config, model.layout.groups)) context.note(text);
  const std::string configuration = to_toml(config);
  if (resumed && resumed->has_other_ranks(world)) config = with_batches_of(resumed->manifest(), config);
  for (const std::string& text : resolve_ranks(config, world)) context.note(text);
  if (resumed) check_same(*resumed, data, model.layout);
  check_agreement(communicator, config, data.checksum, model.layout);
  const PixelStatistics seen = pixel_statistics(sets.train, config.normalisation);
  const PixelScale pixels = pixel_scale(seen.mean, seen.deviation, model.shapes.input.channels);

  rank_progress.enter(Phase::planning);
  const ShardPlan dealing{config.seed, config.batch, world.size(), config.samples_per_rank};
  const Shards shards(Sharding::parse(config.shard), dealing, sets.train.labels);
  check_shards(communicator, shards);
  const auto positions = static_cast<std::size_t>(shards.positions());
  const int rank_batch = StepPlan(config, model.layout, shards.positions(), 0, world.size()).variant(0).batch;
  DeviceSet training(
      backend, sets.train,
      {.name = "training images", .mode = config.data_mode, .batch = rank_batch, .positions = positions});
  const int evaluated = config.evaluation_batch;
  DeviceSet test(backend, sets.test, {.name = "test images", .mode = config.data_mode, .batch = evaluated});
  std::optional<DeviceSet> validation;
  if (sets.validation.count() > 0) {
    const DeviceSetOptions options{.name = "validation images", .mode = config.data_mode, .batch = evaluated};
    validation.emplace(backend, sets.validation, options);
  }
  for (const DeviceSet* set : {&training, &test, validation ? &*validation : nullptr}) {
    if (set != nullptr && !set->line().empty()) context.note(set->line());
  }
  std::vector<std::unique_ptr<LocalRank>> ranks;
  const int first_rank = communicator.rank() * world.local;
  for (int rank = first_rank; rank < first_rank + world.local; ++rank) {
    const StepPlan plan(config, model.layout, shards.positions(), rank, world.size());
    ranks.push_back(std::make_unique<LocalRank>(backend, model, config, plan, training, pixels));
    ranks.back()->step.on_progress([&] { rank_progress.touch(); });
    ranks.back()->step.prepare(plan.variants());
    rank_progress.touch();
  }
  const StepPlan& plan = ranks.front()->plan;  // what it says of the whole world
  if (!resumed) {
    const std::string init_line = set_first_weights(ranks, communicator, model, config, sets.train, pixels);
    if (!init_line.empty()) context.note(init_line);
  }
  Averager averager(backend, communicator, config, ranks);
  Evaluator evaluator(backend, communicator, model, config.evaluation_batch, config.views, pixels,
                      std::max(sets.test.count(), sets.validation.count()));
  evaluator.on_progress([&] { rank_progress.touch(); });
  const int batches = recalibration_batches(config, model, world.size(), positions, rank_batch);
  std::optional<Recalibration> recalibration;
  if (batches > 0) {
    recalibration.emplace(backend, communicator, model, config, training, pixels, rank_batch, batches);
    recalibration->on_progress([&] { rank_progress.touch(); });
  }

  if (world.size() > 1) {
    context.note(workers_table(communicator, world, config, backend.info()));
    context.note(steps_line(config, world, plan));
  }
  const RunFacts facts = facts_of(config, data, model, backend.info(), world.size());
  const std::int64_t images_before = resumed ? resumed->manifest().images_seen : 0;
  RunRecorder& recorder =
      context.open(config, facts, {.images = plan.images(), .first = images_before, .epochs = config.epochs},
                   resumed ? &*resumed : nullptr);
  if (resumed) context.note(resumed_line(*resumed, config, world));
  std::vector<RankLog> rank_logs =
      open_rank_logs(config, communicator, world, recorder, backend.info(),
                     resumed ? std::optional(position_of(resumed->manifest())) : std::nullopt);
  const WeightsInfo weights_info{.network = bound_text(model.network, data.classes(), image.channels),
                                 .mean = seen.mean,
                                 .deviation = seen.deviation,
                                 .class_names = data.class_names,
                                 .recipe = config.name,
                                 .views = config.views,
                                 .evaluation_batch = config.evaluation_batch,
                                 .precision = std::string(name(config.precision))};
  Checkpoints checkpoints(backend, communicator, recorder.folder() != nullptr ? recorder.folder()->path() : "",
                          {.interval = CheckpointInterval::parse(config.checkpoint_every),
                           .keep = config.keep_checkpoints,
                           .local_ranks = world.local},
                          [&](std::string_view text) { context.note(text); });
  const Manifest manifest{.world_size = world.size(),
                          .steps_per_epoch = plan.steps_per_epoch(),
                          .seed = config.seed,
                          .data_checksum = facts.data_checksum,
                          .layout_checksum = layout_checksum(model.layout),
                          .configuration = configuration,
                          .resolved = to_toml(config),
                          .started = recorder.started(),
                          .device = facts.device,
                          .versions = facts.versions};
  StepProfile profile(config.profile_steps, backend, *ranks.front(),
                      recorder.folder() != nullptr ? recorder.folder()->path() : "");
  Accord accord(communicator, [&] {
    return Requests{.stop_signal = received_stop_signal(), .checkpoint = checkpoints.asks_by_time()};
  });
  Trainer trainer({backend, communicator, config, ranks, averager, evaluator, recalibration ? &*recalibration : nullptr,
                   training, shards, test, validation ? &*validation : nullptr, recorder, rank_logs, profile,
                   rank_progress, accord, checkpoints, manifest, weights_info});
  if (resumed) resumed->restore(backend, world, [&](TrainingState& state) { trainer.visit_state(state); });
  const RunResults results = trainer.run();
  rank_progress.enter(Phase::writing);
  if (recorder.folder() == nullptr) return results;
  if (results.stop_signal != 0) {
    recorder.stop(results, name_of_signal(results.stop_signal));
    return results;
  }
  save_weights(recorder.folder()->file("weights.safetensors"), model.layout, trainer.evaluated().values(),
               weights_info);
  if (plan.last_step() < plan.scheduled_steps()) {
    recorder.stop(results, fmt::format("--steps {}", config.steps));
  } else {
    recorder.finish(results);
  }
  if (const std::string advice = advice_at_end(config, world); !advice.empty()) context.note(advice);
  return results;
}

}  // namespace convoy
