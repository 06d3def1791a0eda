// Puts the parts of a run together, in the order in which data flow.
#include "train/train.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"
#include "io/stop_signals.hpp"
#include "train/accord.hpp"
#include "train/agreement.hpp"
#include "train/averager.hpp"
#include "train/checkpoint/checkpoints.hpp"
#include "train/checkpoint/loaded_checkpoint.hpp"
#include "train/checkpoint/resume.hpp"
#include "train/first_weights.hpp"
#include "train/planned_run.hpp"
#include "train/plans_file.hpp"
#include "train/run_inputs.hpp"
#include "train/series.hpp"
#include "train/trainer.hpp"
#include "train/weights_file.hpp"
#include "train/workers.hpp"

namespace convoy {
namespace {

RunFacts facts_of(const RunInputs& inputs, const PlannedRun& planned) {
  const DeviceInfo& device = inputs.backend().info();
  RunFacts facts;
  facts.recipe = planned.config.name;
  facts.model = inputs.model.network.name;
  facts.data_name = inputs.data.name;
  facts.data_origin = inputs.data.origin;
  facts.data_checksum = fmt::format("{:016x}", inputs.data.checksum);
  facts.training_images = planned.shards.positions();
  facts.device = describe(device);
  facts.precision = name(device.precision);
  facts.parameters = static_cast<std::int64_t>(inputs.model.layout.weight_count());
  facts.average_bytes = static_cast<std::int64_t>(inputs.model.layout.communicated_elements * sizeof(float));
  facts.world_size = inputs.world.size();
  facts.versions = device.versions;
  return facts;
}

// The same on all workers, whose mathematics libraries may differ in a last digit.
void check_shards(Communicator& communicator, const Shards& shards) {
  const Samples order = shards.order(0);
  const Agreed item[] = {
      {"shards", fmt::format("checksum {:016x}", checksum(order.data(), order.size() * sizeof(std::int32_t)))}};
  agree(communicator, item);
}

// The first worker's; the others see it there too.
std::string common_folder(Communicator& communicator, const RunRecorder& recorder) {
  const RunFolder* own = recorder.folder();
  return communicator.gather(own != nullptr ? std::filesystem::absolute(own->path()).string() : "").front();
}

// Of this worker's ranks.
std::vector<RankLog> open_rank_logs(const RunConfig& config, const RunInputs& inputs, const std::string& folder,
                                    const RunRecorder& recorder, const std::optional<RunPosition>& resumed) {
  std::vector<RankLog> logs;
  if (!config.log_ranks) return logs;
  const World& world = inputs.world;
  for (int local = 0; local < world.local; ++local) {
    logs.emplace_back(folder, inputs.communicator.rank() * world.local + local, world.size(),
                      describe(inputs.backend().info()), recorder, resumed);
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

// What was chosen for the run before; nothing, and a line, where that cannot be read.
Choices earlier_choices(const LoadedCheckpoint& checkpoint, int worker, RunContext& context) {
  try {
    return read_plans(checkpoint.run(), worker);
  } catch (const Error& error) {
    context.note(fmt::format("{}; plans are chosen anew", error.what()));
    return {};
  }
}

// given_batch: what the command line would make of as many ranks.
std::string resumed_line(const LoadedCheckpoint& checkpoint, const RunConfig& config, const StepPlan& plan,
                         const World& world, int given_batch) {
  const Manifest& manifest = checkpoint.manifest();
  std::string line = fmt::format("resumed after step {} from {}", manifest.step, checkpoint.path().string());
  if (checkpoint.has_other_ranks(world)) {
    line += fmt::format("; {} ranks before, {} now: they go on from the mean of weights and moments, in batches of {}",
                        manifest.world_size, world.size(), config.batch);
  } else if (config.batch != given_batch) {
    line += fmt::format("; in batches of {}, as it began on another number of ranks", config.batch);
  }
  const std::string of_end = line_of_an_earlier_end(manifest, plan.last_step());
  if (!of_end.empty()) line += fmt::format("; {}", of_end);
  return line;
}

WeightsInfo weights_info_of(const RunInputs& inputs, const PlannedRun& planned) {
  const Dataset& data = inputs.data;
  const RunConfig& config = planned.config;
  return {.network = bound_text(inputs.model.network, data.classes(), data.train.image.channels),
          .mean = planned.seen.mean,
          .deviation = planned.seen.deviation,
          .class_names = data.class_names,
          .recipe = config.name,
          .views = config.views,
          .evaluation_batch = config.evaluation_batch,
          .precision = std::string(name(config.precision))};
}

// What is known before the first step.
Manifest manifest_of(const RunConfig& asked, const RunInputs& inputs, const PlannedRun& planned, const RunFacts& facts,
                     const std::string& started) {
  return {.world_size = inputs.world.size(),
          .steps_per_epoch = planned.plan().steps_per_epoch(),
          .seed = asked.seed,
          .data_checksum = facts.data_checksum,
          .layout_checksum = layout_checksum(inputs.model.layout),
          .configuration = to_toml(asked),
          .resolved = to_toml(planned.config),
          .started = started,
          .device = facts.device,
          .versions = facts.versions};
}

// Runs that differ by seed and folder at most.
class Training {
 public:
  Training(const RunConfig& config, Communicator& workers, RunContext& context)
      : inputs_(config, workers, context), context_(context) {}

  const RunConfig& config() const { return inputs_.config; }
  RunResults run(std::uint64_t seed, const std::string& out) {
    return context_.or_leave([&] { return plan_and_train(seed, out); });
  }

 private:
  RunResults plan_and_train(std::uint64_t seed, const std::string& out);
  PlannedRun& make_ready(const RunConfig& asked, const std::optional<LoadedCheckpoint>& resumed);
  bool has_planned_by(const Choices& choices) const;

  RunInputs inputs_;
  RunContext& context_;
  std::optional<PlannedRun> planned_;
};

// All workers call it.
bool Training::has_planned_by(const Choices& choices) const {
  return inputs_.communicator.min_max(count_new(choices, inputs_.backend().choices())).most == 0;
}

// What is planned stays where it serves; else it goes first, with its memory.
PlannedRun& Training::make_ready(const RunConfig& asked, const std::optional<LoadedCheckpoint>& resumed) {
  const World& world = inputs_.world;
  Communicator& communicator = inputs_.communicator;
  RunConfig config = asked;
  if (resumed) config = with_batches_of(resumed->manifest(), config, world);
  const std::vector<std::string> lines = resolve_ranks(config, world);
  check_agreement(communicator, config, inputs_.data.checksum, inputs_.model.layout);
  const Choices earlier = resumed ? earlier_choices(*resumed, communicator.rank(), context_) : Choices();
  if (planned_ && planned_->serves(config) && has_planned_by(earlier)) {
    planned_->take_over(inputs_, config);
    return *planned_;
  }
  for (const std::string& line : lines) context_.note(line);
  planned_.reset();
  inputs_.backend().prefer(earlier);
  planned_.emplace(inputs_, config, context_);
  if (world.size() > 1) {
    context_.note(workers_table(communicator, world, config, inputs_.backend().info()));
    context_.note(steps_line(config, world, planned_->plan()));
  }
  const std::uint64_t lacking = earlier.empty() ? 0 : count_new(inputs_.backend().choices(), earlier);
  if (const std::uint64_t most = communicator.min_max(lacking).most; most > 0) {
    context_.note(fmt::format("{}: lacks {} of the plans for this device and its libraries; they are chosen anew",
                              (resumed->run() / kPlansName).string(), most));
  }
  return *planned_;
}

RunResults Training::plan_and_train(std::uint64_t seed, const std::string& out) {
  RankProgress& rank_progress = context_.rank_progress();
  rank_progress.enter(Phase::planning);
  Communicator& communicator = inputs_.communicator;
  Backend& backend = inputs_.backend();
  const World& world = inputs_.world;
  const Model& model = inputs_.model;
  RunConfig asked = inputs_.config;
  asked.seed = seed;
  asked.out = out;
  asked.repeat = 1;
  const std::optional<LoadedCheckpoint> resumed = load_checkpoint(asked.resume, asked.out, communicator, world,
                                                                  [&](std::string_view text) { context_.note(text); });
  if (!asked.resume.empty() && !resumed) context_.note("no checkpoint to go on from: the run starts afresh");
  if (resumed) check_same(*resumed, inputs_.data, model.layout);
  PlannedRun& planned = make_ready(asked, resumed);
  const RunConfig& config = planned.config;
  const StepPlan& plan = planned.plan();
  check_shards(communicator, planned.shards);
  if (!resumed) {
    const std::string line =
        set_first_weights(planned.ranks, communicator, model, config, planned.training_images, planned.pixels);
    if (!line.empty()) context_.note(line);
  }
  Averager averager(backend, communicator, config, planned.ranks);

  const RunFacts facts = facts_of(inputs_, planned);
  const std::int64_t images_before = resumed ? resumed->manifest().images_seen : 0;
  RunRecorder& recorder =
      context_.open(config, facts, {.images = plan.images(), .first = images_before, .epochs = config.epochs},
                    resumed ? &*resumed : nullptr);
  if (resumed) context_.note(resumed_line(*resumed, config, plan, world, global_batch(asked, world)));
  write_plans(communicator, backend.choices(), recorder.folder());
  const std::string folder = common_folder(communicator, recorder);
  std::vector<RankLog> rank_logs = open_rank_logs(
      config, inputs_, folder, recorder, resumed ? std::optional(position_of(resumed->manifest())) : std::nullopt);
  const WeightsInfo weights_info = weights_info_of(inputs_, planned);
  Checkpoints checkpoints(backend, communicator, folder,
                          {.interval = CheckpointInterval::parse(config.checkpoint_every),
                           .keep = config.keep_checkpoints,
                           .local_ranks = world.local},
                          [&](std::string_view text) { context_.note(text); });
  const Manifest manifest = manifest_of(asked, inputs_, planned, facts, recorder.started());
  StepProfile profile(config.profile_steps, backend, *planned.ranks.front(),
                      recorder.folder() != nullptr ? recorder.folder()->path() : "");
  Accord accord(communicator, [&] {
    return Requests{.stop_signal = received_stop_signal(), .checkpoint = checkpoints.asks_by_time()};
  });
  Trainer trainer({backend, communicator, config, planned.ranks, averager, planned.evaluator,
                   planned.recalibration ? &*planned.recalibration : nullptr, planned.training, planned.shards,
                   planned.test, planned.validation ? &*planned.validation : nullptr, recorder, rank_logs, profile,
                   rank_progress, accord, checkpoints, manifest, weights_info});
  return context_.or_leave([&] {
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
    if (const std::string advice = advice_at_end(config, world); !advice.empty()) context_.note(advice);
    return results;
  });
}

}  // namespace

RunResults train(const RunConfig& config, Communicator& workers, RunContext& context) {
  return Training(config, workers, context).run(config.seed, config.out);
}

int train_all(const RunConfig& config, const std::vector<RunConfig>& runs, Communicator& workers, RunContext& context) {
  Training training(config, workers, context);
  if (is_series(config)) context.in_series(training.config());
  for (const RunConfig& run : runs) {
    const bool is_first = &run == &runs.front();
    // One that came after the last step of the run before, to any worker.
    const int signal = is_first ? 0 : static_cast<int>(workers.min_max(received_stop_signal()).most);
    if (signal != 0) return signal;
    if (is_series(config)) context.note(fmt::format("seed {}, of {} runs", run.seed, config.repeat));
    const RunResults results = training.run(run.seed, run.out);
    context.end_run();
    if (results.stop_signal != 0) return results.stop_signal;
  }
  if (is_series(config) && workers.rank() == 0) context.note(series_table(config));  // it has written all summaries
  return 0;
}

}  // namespace convoy
