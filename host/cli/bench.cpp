// convoy bench: how fast a training step is here, on synthetic images.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/bench_average.hpp"
#include "cli/command.hpp"
#include "cli/config_options.hpp"
#include "convoy/error.hpp"
#include "io/host_info.hpp"
#include "io/progress.hpp"
#include "train/step_benchmark.hpp"

namespace convoy {
namespace {

struct BenchArguments {
  explicit BenchArguments(CLI::App& app)
      : options(app, {"model", "batch", "precision", "device", "threads", "deterministic", "autotune", "optimizer",
                      "seed", "gpus-per-process"}) {}
  ConfigOptions options;
  int steps = 10;
  bool step = false, layers = false, average = false, json = false;
};

void print_step(const StepTimes& times, bool as_json) {
  if (as_json) {
    const nlohmann::ordered_json json = {{"images_per_second", times.images_per_second},
                                         {"peak_host_bytes", peak_host_bytes()},
                                         {"peak_device_bytes", times.peak_device_bytes},
                                         {"network", times.network},
                                         {"batch", times.batch},
                                         {"threads", times.threads},
                                         {"device", times.device},
                                         {"precision", times.precision},
                                         {"seconds", times.seconds}};
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("{}\n{}, batch {}: {} images/s, {:.2f} ms a step, {} MiB host memory at most\n", times.device_line,
             times.network, times.batch, with_commas(static_cast<std::int64_t>(times.images_per_second)),
             1e3 * times.batch / times.images_per_second, peak_host_bytes() >> 20);
}

void print_row(const LayerTimes::Row& row) {
  const auto share = [](double floor, double seconds) { return seconds > 0 ? 100 * floor / seconds : 0; };
  fmt::print("{:<18} {:>10.3f} {:>10.3f} {:>6.0f} {:>11.3f} {:>10.3f} {:>6.0f}  {}\n", row.name,
             1e3 * row.forward_seconds, 1e3 * row.forward_floor, share(row.forward_floor, row.forward_seconds),
             1e3 * row.backward_seconds, 1e3 * row.backward_floor, share(row.backward_floor, row.backward_seconds),
             row.implementation);
}

void add_to(LayerTimes::Row& sum, const LayerTimes::Row& row) {
  sum.forward_seconds += row.forward_seconds;
  sum.forward_floor += row.forward_floor;
  sum.backward_seconds += row.backward_seconds;
  sum.backward_floor += row.backward_floor;
}

// In milliseconds, with the floor's share of the time: 100 % is as fast as this machine can do what is counted.
void print_layers(const LayerTimes& times) {
  print_step(times.step, false);
  fmt::print(
      "floors from {:.0f} GFLOP/s in a large product and {:.1f} GB/s in a large copy; Winograd's convolutions, which "
      "multiply less than direct ones, may be below\n\n",
      times.flops_per_second * 1e-9, times.bytes_per_second * 1e-9);
  fmt::print("{:<18} {:>10} {:>10} {:>6} {:>11} {:>10} {:>6}  {}\n", "operation", "forward ms", "floor", "%",
             "backward ms", "floor", "%", "implementation");
  LayerTimes::Row sum{.name = "sum"}, convolutions{.name = "convolutions alone"};
  for (const LayerTimes::Row& row : times.rows) {
    print_row(row);
    add_to(sum, row);
    if (row.is_convolution) add_to(convolutions, row);
  }
  print_row(sum);
  print_row(convolutions);
  const double step = times.step.batch / times.step.images_per_second;
  const double alone = convolutions.forward_seconds + convolutions.backward_seconds;
  if (alone > 0) {
    fmt::print("whole step {:.3f} ms / convolutions alone {:.3f} ms = {:.2f}\n", 1e3 * step, 1e3 * alone, step / alone);
  }
}

int run(const BenchArguments& arguments, const CommandContext& command) {
  RunConfig config = arguments.options.resolve();
  if (!config.is_from_command_line("optimizer")) {  // the step that tools/bench_peers gives the others
    config.optimizer.momentum = 0.9;
    config.optimizer.nesterov = true;
  }
  if (arguments.average) return bench_average(config, command, arguments.steps, arguments.json);
  if (config.gpus_per_process != 1) fail_usage("--gpus-per-process is for bench --average: a step is of one GPU");
  if (arguments.layers) {
    print_layers(measure_layers(config, arguments.steps));
  } else {
    print_step(measure_step(config, arguments.steps), arguments.json);
  }
  return 0;
}

}  // namespace

Command add_bench(CLI::App& program, const CommandContext& context) {
  CLI::App* app = add_command(program, "bench", "measure a training step on synthetic images",
                              "  convoy bench --model seed --batch 64\n"
                              "  convoy bench --model airbench94 --batch 500 --layers\n"
                              "  convoy bench --average --model airbench94 --batch 2000 --gpus-per-process all");
  const auto arguments = std::make_shared<BenchArguments>(*app);
  CLI::Option* step = app->add_flag("--step", arguments->step, "the whole step (the default)");
  CLI::Option* layers = app->add_flag("--layers", arguments->layers,
                                      "each lowered operation: time, floor, and the floor's share; the step beside its "
                                      "convolutions alone");
  layers->excludes(step);
  app->add_flag("--average", arguments->average,
                "averaging the weights over several workers (tools/launch, --gpus-per-process), beside the bare "
                "all-reduce of MPI or NCCL, the links between workers, and a step")
      ->excludes(step)
      ->excludes(layers);
  app->add_flag("--json", arguments->json, "one line of JSON instead of text (whole step, average)")->excludes(layers);
  app->add_option("--steps", arguments->steps, "timed repetitions, after two that are not [10]")
      ->check(CLI::Range(1, 100000))
      ->type_name("N");
  return {app, [arguments, context] { return run(*arguments, context); }};
}

}  // namespace convoy
