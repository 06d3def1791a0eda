// convoy selftest: does this machine's device compute what it should?
#include "train/selftest.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "cli/config_options.hpp"
#include "cpu/backend.hpp"
#include "train/devices.hpp"

namespace convoy {
namespace {

int run(const ConfigOptions& options) {
  RunConfig config = options.resolve();
  const ChosenDevice device = choose_device(config);
  const std::unique_ptr<Backend> reference = make_cpu_backend({.precision = Precision::fp32});
  fmt::print("{}\ncompared with {}, fp32; errors are of whole tensors, relative\n\n{:>9}  {:>9}\n", device.line,
             describe(reference->info()), "error", "allowed");
  std::vector<std::string> networks;
  if (config.is_from_command_line("model")) networks.push_back(config.model);
  int rows = 0, misses = 0;
  const auto print = [&](const SelftestRow& row) {
    ++rows;
    if (!row.is_good()) ++misses;
    fmt::print("{:>9.1e}  {:>9.1e}  {}  {} ({})\n", row.error, row.tolerance, row.is_good() ? "ok  " : "MISS", row.what,
               row.quantity);
    std::fflush(stdout);  // what comes next may take the process with it
  };
  selftest(*device.backend, *reference, print, networks);
  fmt::print("{} comparisons, {} beyond what is allowed\n", rows, misses);
  return static_cast<int>(misses == 0 ? ExitCode::done : ExitCode::failed);
}

}  // namespace

Command add_selftest(CLI::App& program, const CommandContext&) {
  CLI::App* app = add_command(program, "selftest", "compare this machine's device with the CPU",
                              "  convoy selftest\n"
                              "  convoy selftest --device cuda --precision bf16");
  app->description(
      "Compares every operation and a whole training step of each network between a device and the CPU in fp32, and\n"
      "prints each error beside what is allowed. --model takes one network instead of all. Exit code 1 on a miss.");
  const auto options =
      std::make_shared<ConfigOptions>(*app, std::vector<std::string_view>{"model", "device", "precision", "threads"});
  return {app, [options] { return run(*options); }};
}

}  // namespace convoy
