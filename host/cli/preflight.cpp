// convoy preflight: will a job on these machines run, and how fast do they reach each other?
#include "preflight/preflight.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "cli/command.hpp"
#include "cli/config_options.hpp"
#include "cli/workers.hpp"
#include "convoy/error.hpp"
#include "io/progress.hpp"
#include "train/devices.hpp"

namespace convoy {
namespace {

constexpr std::size_t kMegabyte = 1'000'000;

struct PreflightArguments {
  explicit PreflightArguments(CLI::App& app)
      : options(app, {"data", "labels", "out", "device", "precision", "threads", "gpus-per-process", "timeout",
                      "startup-timeout"}) {}
  ConfigOptions options;
  int megabytes = 32;
};

int run(const PreflightArguments& arguments, const CommandContext& command) {
  const RunConfig config = arguments.options.resolve();
  Progress progress(stdout, Progress::Style::lines, [] { return 0.0; });
  return run_job(find_launch(), config, command, progress, [&](Communicator& workers, RunContext& context) {
    RunConfig own = config;
    const ChosenDevice device = choose_device(own, workers.split_by_host()->rank());
    RankProgress& rank = context.rank_progress();
    const std::unique_ptr<Communicator> between = connect_devices(workers, *device.backend, own, rank);
    const PreflightOptions options{.data = own.data,
                                   .labels = own.labels,
                                   .out = own.out,
                                   .link_bytes = static_cast<std::size_t>(arguments.megabytes) * kMegabyte};
    const int problems = context.or_leave([&] {
      return preflight(options, *device.backend, workers, between ? *between : workers, rank,
                       [&](std::string_view line) { context.note(line); });
    });
    return static_cast<int>(problems == 0 ? ExitCode::done : ExitCode::failed);
  });
}

}  // namespace

Command add_preflight(CLI::App& program, const CommandContext& context) {
  CLI::App* app = add_command(program, "preflight", "look at machines and links before a long job",
                              "  tools/launch 2 preflight --data data/cifar-10-batches-bin --out runs\n"
                              "  srun --mpi=pmix convoy preflight --device cuda --out runs\n"
                              "  convoy preflight --gpus-per-process all");
  app->description(
      "Started as a training would be, on the same machines: prints each worker's device, each host's networks, "
      "shared\n"
      "memory and the variables that steer NCCL and MPI, reads --data on every host, looks whether --out is one "
      "folder\n"
      "for all, and times the links between workers, with what to set where something is wrong. Exit code 1 then.");
  const auto arguments = std::make_shared<PreflightArguments>(*app);
  app->add_option("--megabytes", arguments->megabytes, "to send over each link (default 32)")
      ->check(CLI::Range(1, 4096));
  return {app, [arguments, context] { return run(*arguments, context); }};
}

}  // namespace convoy
