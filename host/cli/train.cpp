// convoy train: one run, or a series of them, from recipe and command line to a folder with weights and a summary.
#include "train/train.hpp"

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "cli/config_options.hpp"
#include "cli/workers.hpp"
#include "convoy/communicator.hpp"
#include "io/progress.hpp"
#include "io/run_folder.hpp"
#include "io/stop_signals.hpp"
#include "train/checkpoint/resume.hpp"
#include "train/run_context.hpp"
#include "train/series.hpp"

namespace convoy {
namespace {

// Those with something left to do; of each other, a line. The first worker says so for all: on a host of their own the
// others may not see the run's folder.
std::vector<RunConfig> unfinished_of(std::vector<RunConfig> runs, Communicator& workers, RunContext& context) {
  std::erase_if(runs, [&](const RunConfig& run) {
    const std::string line = workers.gather(workers.rank() == 0 ? finished_line(run).value_or("") : "").front();
    if (!line.empty()) context.note(line);
    return !line.empty();
  });
  return runs;
}

int run(const ConfigOptions& options, const CommandContext& command) {
  RunConfig config = options.resolve_resuming();
  const std::optional<Launch> launch = find_launch();
  if (is_series(config) && config.out.empty()) config.out = default_run_path(config.name).string();
  Progress progress(stdout);
  if (launch) progress.set_style(Progress::Style::lines);  // mpirun's terminal is none, whatever it says
  catch_stop_signals();
  return run_job(launch, config, command, progress, [&](Communicator& workers, RunContext& context) {
    const std::vector<RunConfig> runs = unfinished_of(runs_of(config), workers, context);
    if (runs.empty()) {
      if (is_series(config) && workers.rank() == 0) context.note(series_table(config));
      return static_cast<int>(ExitCode::done);
    }
    RunConfig with_data = config;
    with_data.data = data_or_found(config.data);
    const int stop_signal = train_all(with_data, runs, workers, context);
    let_stop_signals_pass();
    return static_cast<int>(stop_signal == 0 ? ExitCode::done : ExitCode::resumable);
  });
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
  return {app, [options, context] { return run(*options, context); }, true};
}

}  // namespace convoy
