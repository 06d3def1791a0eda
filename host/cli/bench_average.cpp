// The two are timed in turn, so that what else the machine does meets both.
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

}  // namespace

void bench_average(RunConfig config, int repetitions) {
  const std::optional<Launch> launch = find_launch();
  if (!launch) fail_usage("bench --average needs several workers: tools/launch 2 bench --average");
  const JoinedWorkers workers = join_workers(launch);
  Communicator& communicator = *workers.communicator;
  const ChosenDevice device = choose_device(config);
  Backend& backend = *device.backend;
  const Model model = make_model(config.model, kClasses, kChannels);
  const Weights weights(backend, model.layout, "weights");
  const FloatRange range{weights.data(), model.layout.communicated_elements};

  std::vector<double> averaging, bare;
  for (int i = 0; i < kWarmUp + repetitions; ++i) {
    wait_for_all(communicator);
    const auto begun = std::chrono::steady_clock::now();
    communicator.average_and_join(range);
    backend.scale(range.data, 1.0F / static_cast<float>(communicator.size()), range.count);
    backend.wait();
    const double ours = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    wait_for_all(communicator);
    const double theirs = bare_allreduce(communicator, range);
    if (i < kWarmUp) continue;
    averaging.push_back(ours);
    bare.push_back(theirs);
  }
  if (!workers.is_first()) return;
  const double ours = median(averaging), theirs = median(bare);
  fmt::print(
      "{}, {} workers: an average of {:.2f} MB {:.3f} ms / bare MPI_Allreduce {:.3f} ms = {:.2f} (medians of {})\n",
      model.network.name, communicator.size(), 1e-6 * static_cast<double>(range.count * sizeof(float)), 1e3 * ours,
      1e3 * theirs, ours / theirs, repetitions);
}

}  // namespace convoy
