// Algorithm and bus bandwidth are those of nccl-tests: bytes over time, and what each link carried of them.
#include "cli/bench_average.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "cli/workers.hpp"
#include "convoy/error.hpp"
#include "mpi/mpi_communicator.hpp"
#include "train/devices.hpp"
#include "train/median.hpp"
#include "train/step.hpp"
#include "train/weights.hpp"

namespace convoy {
namespace {

constexpr int kWarmUp = 3;
constexpr int kClasses = 10, kChannels = 3;

void wait_for_all(Communicator& communicator) {
  std::int64_t nothing[] = {0};
  communicator.sum(std::span<std::int64_t>(nothing));
}

struct Medians {
  double ours = 0, bare = 0;  // seconds; bare is 0 where there is no such call
};

// The two are timed in turn, so that what else the machine does meets both.
Medians time_both(Backend& backend, Communicator& communicator, FloatRange range, int repetitions) {
  const bool has_bare = communicator.kind() == "mpi";
  std::vector<double> averaging, bare;
  for (int i = 0; i < kWarmUp + repetitions; ++i) {
    wait_for_all(communicator);
    const auto begun = std::chrono::steady_clock::now();
    communicator.average_and_join(range);
    backend.scale(range.data, 1.0F / static_cast<float>(communicator.size()), range.count);
    backend.wait();
    const double ours = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    wait_for_all(communicator);
    const double theirs = has_bare ? bare_allreduce(communicator, range) : 0;
    if (i < kWarmUp) continue;
    averaging.push_back(ours);
    bare.push_back(theirs);
  }
  return {median(averaging), median(bare)};
}

struct Measured {
  std::string network, kind;
  int workers = 0, hosts = 0, repetitions = 0;
  double bytes = 0;
  Medians whole, smallest;  // an average of the weights; of one number

  double bytes_per_second() const { return bytes / whole.ours; }
  double bus_bytes_per_second() const { return bytes_per_second() * 2 * (workers - 1) / workers; }
};

void print_text(const Measured& measured) {
  fmt::print(
      "{}, {} workers by {}: an average of {:.2f} MB {:.3f} ms, {:.2f} GB/s, bus {:.2f} GB/s; of one number {:.0f} us",
      measured.network, measured.workers, measured.kind, 1e-6 * measured.bytes, 1e3 * measured.whole.ours,
      1e-9 * measured.bytes_per_second(), 1e-9 * measured.bus_bytes_per_second(), 1e6 * measured.smallest.ours);
  if (measured.whole.bare > 0) {
    fmt::print("; bare MPI_Allreduce {:.3f} ms, ratio {:.2f}", 1e3 * measured.whole.bare,
               measured.whole.ours / measured.whole.bare);
  }
  fmt::print(" (medians of {})\n", measured.repetitions);
}

void print_json(const Measured& measured) {
  nlohmann::ordered_json json = {{"network", measured.network},
                                 {"workers", measured.workers},
                                 {"hosts", measured.hosts},
                                 {"communicator", measured.kind},
                                 {"repetitions", measured.repetitions},
                                 {"average_bytes", measured.bytes},
                                 {"average_seconds", measured.whole.ours},
                                 {"seconds_of_smallest", measured.smallest.ours},
                                 {"bus_bytes_per_second", measured.bus_bytes_per_second()}};
  if (measured.whole.bare > 0) json["bare_seconds"] = measured.whole.bare;
  fmt::print("{}\n", json.dump());
}

// Each host is counted by the first of its workers.
int count_hosts(Communicator& workers) {
  std::int64_t hosts[] = {workers.split_by_host()->rank() == 0 ? 1 : 0};
  workers.sum(std::span<std::int64_t>(hosts));
  return static_cast<int>(hosts[0]);
}

}  // namespace

void bench_average(RunConfig config, int repetitions, bool as_json) {
  const std::optional<Launch> launch = find_launch();
  if (!launch) fail_usage("bench --average needs several workers: tools/launch 2 bench --average");
  const JoinedWorkers workers = join_workers(launch);
  const ChosenDevice device = choose_device(config, workers.communicator->split_by_host()->rank());
  Backend& backend = *device.backend;
  const std::unique_ptr<Communicator> between = connect_devices(*workers.communicator, backend, config);
  Communicator& communicator = between ? *between : *workers.communicator;
  const Model model = make_model(config.model, kClasses, kChannels);
  const Weights weights(backend, model.layout, "weights");
  const FloatRange range = weights.communicated();
  const Attachment attachment = communicator.attach(weights.arena(), Use::most);

  const Measured measured = {
      .network = model.network.name,
      .kind = std::string(communicator.kind()),
      .workers = communicator.size(),
      .hosts = count_hosts(*workers.communicator),
      .repetitions = repetitions,
      .bytes = static_cast<double>(range.count * sizeof(float)),
      .whole = time_both(backend, communicator, range, repetitions),
      .smallest = time_both(backend, communicator, {range.data, 1}, repetitions),
  };
  if (!workers.is_first()) return;
  (as_json ? print_json : print_text)(measured);
}

}  // namespace convoy
