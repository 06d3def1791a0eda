// Algorithm and bus bandwidth are those of nccl-tests: bytes over time, and what each link carried of them.
#include "cli/bench_average.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <span>
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

}  // namespace

void bench_average(RunConfig config, int repetitions) {
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

  const Medians medians = time_both(backend, communicator, range, repetitions);
  if (!workers.is_first()) return;
  const double bytes = static_cast<double>(range.count * sizeof(float)), size = communicator.size();
  fmt::print("{}, {} workers by {}: an average of {:.2f} MB {:.3f} ms, {:.2f} GB/s, bus {:.2f} GB/s",
             model.network.name, communicator.size(), communicator.kind(), 1e-6 * bytes, 1e3 * medians.ours,
             1e-9 * bytes / medians.ours, 1e-9 * bytes / medians.ours * 2 * (size - 1) / size);
  if (medians.bare > 0) {
    fmt::print("; bare MPI_Allreduce {:.3f} ms, ratio {:.2f}", 1e3 * medians.bare, medians.ours / medians.bare);
  }
  fmt::print(" (medians of {})\n", repetitions);
}

}  // namespace convoy
