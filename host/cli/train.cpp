// convoy train: one run, from recipe and command line to a folder with weights and a summary.
#include "train/train.hpp"

#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "cli/command.hpp"
#include "cli/config_options.hpp"
#include "cli/workers.hpp"
#include "convoy/error.hpp"
#include "io/progress.hpp"
#include "io/stop_signals.hpp"
#include "train/checkpoint/resume.hpp"
#include "train/devices.hpp"
#include "train/run_context.hpp"
#include "train/worker_threads.hpp"

namespace convoy {
namespace {

// A worker for each of this process's GPUs; the first one speaks and writes.
RunResults train_on_threads(int count, const RunConfig& config, const CommandContext& command, RunContext& context,
                            Progress& progress) {
  RunResults results;
  run_worker_threads(count, [&](Communicator& communicator) {
    if (communicator.rank() == 0) {
      results = train(config, communicator, context);
    } else {
      RunContext silent(command.clock, command.command_line, progress, false);
      train(config, communicator, silent);
    }
  });
  return results;
}

int run(const ConfigOptions& options, const CommandContext& command) {
  RunConfig config = options.resolve_resuming();
  const std::optional<Launch> launch = find_launch();
  if (const std::optional<std::string> line = finished_line(config)) {
    if (launched_process() == 0) fmt::print("{}\n", *line);
    return static_cast<int>(ExitCode::done);
  }
  config.data = data_or_found(config.data);
  if (launch && config.gpus_per_process != 1) {
    fail_usage("--gpus-per-process is for a process that {} did not start: let it start a process for every GPU",
               launch->launcher);
  }
  Progress progress(stdout);
  if (launch) progress.set_style(Progress::Style::lines);  // mpirun's terminal is none, whatever it says
  catch_stop_signals();
  JoinedWorkers workers = join_workers(launch);
  RunContext context(command.clock, command.command_line, progress, workers.is_first());
  if (!workers.line.empty()) context.note(workers.line);
  std::optional<JobWatch> watch;
  if (workers.communicator->size() > 1) watch.emplace(workers, config, context);
  try {
    const int threads = launch ? 1 : workers_of_process(config);
    const RunResults results = threads > 1 ? train_on_threads(threads, config, command, context, progress)
                                           : train(config, *workers.communicator, context);
    if (watch) watch->finish();
    return static_cast<int>(results.stop_signal == 0 ? ExitCode::done : ExitCode::resumable);
  } catch (const std::exception& error) {  // recorded in the run's folder, then on to main
    context.fail(error.what());
    if (watch) watch->fail(error, *workers.communicator);  // the others wait for this worker: it may not just return
    throw;
  }
}

}  // namespace

Command add_train(CLI::App& program, const CommandContext& context) {
  CLI::App* app =
      add_command(program, "train", "train a network",
                  "  convoy train --recipe fashion --data /usr/share/datasets/fashion-mnist\n"
                  "  convoy train --recipe airbench94 --data cifar-10-binary.tar.gz --seed 1 --out runs/first");
  app->description(
      "Trains a network. Settings come from a recipe; what stands here wins over it.\n"
      "The run's folder gets metrics.jsonl, summary.json, recipe.toml (which repeats the run) and "
      "weights.safetensors.");
  const auto options = std::make_shared<ConfigOptions>(*app);
  return {app, [options, context] { return run(*options, context); }};
}

}  // namespace convoy
