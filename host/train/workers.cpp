// What workers tell each other before the first step.
#include "train/workers.hpp"

#include <fmt/format.h>

#include "convoy/checksum.hpp"
#include "data/sampler.hpp"
#include "io/build_info.hpp"
#include "io/host_info.hpp"
#include "train/agreement.hpp"

namespace convoy {
namespace {

std::string range(std::int64_t first, std::int64_t last) {
  return first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
}

// Every tensor's name, shape and place, one a line.
std::string describe(const ParamLayout& layout) {
  std::string text;
  for (const Parameter& parameter : layout.parameters) {
    text += fmt::format("{} [{}] at {}\n", parameter.name, fmt::join(parameter.shape, ","), parameter.offset);
  }
  return text;
}

// What every worker has to itself may differ.
std::string shared_settings(RunConfig config) {
  config.threads = 0;
  config.out.clear();
  return to_toml(config);
}

}  // namespace

std::string workers_table(Communicator& communicator, const World& world, const RunConfig& config,
                          const DeviceInfo& device) {
  const int first = communicator.rank() * world.local, last = first + world.local - 1;
  const Share begin = share_of(0, config.batch, first, world.size()),
              end = share_of(0, config.batch, last, world.size());
  const std::string row =
      fmt::format("  {:>9}  {:<20}  {:<4} {:>3} thread{}  {}", range(first, last), host_name(), device.kind,
                  device.threads, device.threads == 1 ? " " : "s", range(begin.first, end.first + end.count - 1));
  return fmt::format("  {:>9}  {:<20}  {:<16}  {}\n{}", world.local > 1 ? "ranks" : "rank", "host", "device",
                     fmt::format("images of each {}", config.batch), fmt::join(communicator.gather(row), "\n"));
}

std::string steps_line(const RunConfig& config, const World& world, const StepPlan& plan) {
  const std::int64_t least = config.batch / world.size(), most = share_of(0, config.batch, 0, world.size()).count;
  return fmt::format("a step takes {} images, {} a rank; {} steps an epoch; learning rate {}", config.batch,
                     range(least, most), plan.steps_per_epoch(), config.optimizer.learning_rate);
}

std::string layout_checksum(const ParamLayout& layout) {
  const std::string text = describe(layout);
  return fmt::format("{:016x}", checksum(text.data(), text.size()));
}

void check_agreement(Communicator& communicator, const RunConfig& config, std::uint64_t data_checksum,
                     const ParamLayout& layout) {
  const BuildInfo& build = build_info();
  const Agreed items[] = {
      {"program", fmt::format("{} {}{}", build.version, build.commit, build.is_dirty ? " dirty" : "")},
      {"configuration", shared_settings(config)},
      {"data", fmt::format("checksum {:016x}", data_checksum)},
      {"layout of the weights", describe(layout)}};
  agree(communicator, items);
}

}  // namespace convoy
