// Algorithm and bus bandwidth are those of nccl-tests: bytes over time, and what each link carried of them.
#include "cli/bench_average.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "cli/workers.hpp"
#include "convoy/error.hpp"
#include "io/host_info.hpp"
#include "io/progress.hpp"
#include "preflight/links.hpp"
#include "train/average_benchmark.hpp"
#include "train/devices.hpp"

namespace convoy {
namespace {

constexpr std::size_t kLinkBytes = 32'000'000;  // as preflight sends

struct Measured {
  AverageTimes times;
  std::string kind;                // of communicator
  std::vector<std::string> hosts;  // of every worker
  std::vector<Link> links;
  int repetitions = 0;

  double bus(const AverageTimes::Size& size, double seconds) const {
    return bus_bytes_per_second(size.bytes, seconds, times.workers);
  }
  int host_count() const { return static_cast<int>(std::set<std::string>(hosts.begin(), hosts.end()).size()); }
  // The median of those that a ring over all workers cannot do without: between hosts where there are several.
  double link() const { return kinds_of(links, hosts).back().median().bytes_per_second; }
};

void print_text(const Measured& measured) {
  const AverageTimes& times = measured.times;
  const AverageTimes::Size& whole = times.whole();
  fmt::print(
      "{}, {} workers {}: an average of {:.2f} MB takes {:.3f} ms, {:.2f}x bare (medians of {})\n", times.network,
      times.workers, times.in_shared_memory ? "in memory that they share" : fmt::format("by {}", measured.kind),
      1e-6 * static_cast<double>(whole.bytes), 1e3 * whole.average, whole.average / whole.bare, measured.repetitions);
  fmt::print("{:>12} {:>12} {:>10} {:>6} {:>10} {:>10} {:>10}\n", "bytes", "average ms", "bare ms", "ratio", "GB/s",
             "bus GB/s", "bare bus");
  for (const AverageTimes::Size& size : times.sizes) {
    fmt::print("{:>12} {:>12.4f} {:>10.4f} {:>6.2f} {:>10.3f} {:>10.3f} {:>10.3f}\n", size.bytes, 1e3 * size.average,
               1e3 * size.bare, size.average / size.bare, 1e-9 * static_cast<double>(size.bytes) / size.average,
               1e-9 * measured.bus(size, size.average), 1e-9 * measured.bus(size, size.bare));
  }
  for (const std::string& line : report(measured.links, measured.hosts).lines) fmt::print("{}\n", line);
  fmt::print("of that bandwidth an average of the weights has {:.0f} %, bare {:.0f} %\n",
             100 * measured.bus(whole, whole.average) / measured.link(),
             100 * measured.bus(whole, whole.bare) / measured.link());
  fmt::print("a step of {} images a worker takes {:.3f} ms, an average behind it {:.3f} ms more:\n", times.images,
             1e3 * times.step, 1e3 * times.added_to_step());
  fmt::print("  all-reduce and division {:.3f}, agreeing on norms {:.3f}, new compute copies {:.3f}\n",
             1e3 * whole.average, 1e3 * times.check, 1e3 * times.refresh);
  const double percent = 100 * times.share_of_step();
  fmt::print(
      "averages at every step add {:.1f} % to it, at every K steps {:.1f}/K %: at most 1 % from every:{:.0f} on\n",
      percent, percent, std::max(1.0, std::ceil(percent)));
}

void print_json(const Measured& measured) {
  const AverageTimes& times = measured.times;
  const AverageTimes::Size& whole = times.whole();
  nlohmann::ordered_json json = {{"network", times.network},
                                 {"workers", times.workers},
                                 {"hosts", measured.host_count()},
                                 {"communicator", measured.kind},
                                 {"in_shared_memory", times.in_shared_memory},
                                 {"repetitions", measured.repetitions},
                                 {"average_bytes", whole.bytes},
                                 {"average_seconds", whole.average},
                                 {"seconds_of_smallest", times.smallest().average},
                                 {"bus_bytes_per_second", measured.bus(whole, whole.average)},
                                 {"bare_seconds", whole.bare},
                                 {"bare_seconds_of_smallest", times.smallest().bare},
                                 {"bare_bus_bytes_per_second", measured.bus(whole, whole.bare)},
                                 {"link_bytes_per_second", measured.link()},
                                 {"batch_per_worker", times.images},
                                 {"step_seconds", times.step},
                                 {"check_seconds", times.check},
                                 {"refresh_seconds", times.refresh},
                                 {"share_of_step", times.share_of_step()},
                                 {"sizes", nlohmann::ordered_json::array()}};
  for (const AverageTimes::Size& size : times.sizes) {
    json["sizes"].push_back({{"bytes", size.bytes}, {"average_seconds", size.average}, {"bare_seconds", size.bare}});
  }
  fmt::print("{}\n", json.dump());
}

}  // namespace

int bench_average(const RunConfig& config, const CommandContext& command, int repetitions, bool as_json) {
  Progress progress(as_json ? stderr : stdout, Progress::Style::lines, [] { return 0.0; });
  return run_job(find_launch(), config, command, progress, [&](Communicator& workers, RunContext& context) {
    if (workers.size() == 1) {
      fail_usage(
          "bench --average: one worker has nobody to average with: start several, by tools/launch 2 bench --average or "
          "--gpus-per-process all");
    }
    RunConfig own = config;
    const ChosenDevice device = choose_device(own, workers.split_by_host()->rank());
    RankProgress& rank = context.rank_progress();
    const std::unique_ptr<Communicator> between = connect_devices(workers, *device.backend, own, rank);
    Communicator& communicator = between ? *between : workers;
    const Measured measured = context.or_leave([&] {
      return Measured{
          .times = measure_average(*device.backend, communicator, own, repetitions, rank),
          .kind = std::string(communicator.kind()),
          .hosts = workers.gather(host_name()),
          .links = time_links(*device.backend, communicator, kLinkBytes, [&rank] { rank.touch(); }),
          .repetitions = repetitions,
      };
    });
    if (workers.rank() == 0) (as_json ? print_json : print_text)(measured);
    return static_cast<int>(ExitCode::done);
  });
}

}  // namespace convoy
