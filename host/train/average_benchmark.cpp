// Calls are timed in a row, as nccl-tests does: what it takes to start together and to wait is not theirs.
#include "train/average_benchmark.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "data/sampler.hpp"
#include "train/benched_step.hpp"
#include "train/device_times.hpp"
#include "train/median.hpp"
#include "train/rank_group.hpp"
#include "train/world.hpp"

namespace convoy {
namespace {

constexpr int kWarmUp = 3;
constexpr std::size_t kSizes[] = {4, 1 << 16, 1 << 20};  // bytes, those that are less than the weights

using Calls = std::function<void(int in_row)>;

// Median seconds of one of each.
std::vector<double> time_in_turn(Backend& backend, Communicator& communicator, int rounds, RankProgress& progress,
                                 const std::vector<Calls>& all) {
  const auto seconds_of_one = [&](const Calls& calls, int in_row) {
    progress.touch();
    std::int64_t nothing[] = {0};
    communicator.sum(std::span<std::int64_t>(nothing));  // all begin together
    const auto begun = std::chrono::steady_clock::now();
    calls(in_row);
    backend.wait();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count() / in_row;
  };
  std::vector<int> in_row(all.size(), 1);
  for (std::size_t i = 0; i < all.size(); ++i) {
    double least = seconds_of_one(all[i], 1);  // one that another program held up would say nothing
    for (int k = 1; k < kWarmUp; ++k) least = std::min(least, seconds_of_one(all[i], 1));
    in_row[i] = static_cast<int>(communicator.min_max(static_cast<std::uint64_t>(calls_in_row(least))).most);
  }
  std::vector<std::vector<double>> seconds(all.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < all.size(); ++i) seconds[i].push_back(seconds_of_one(all[i], in_row[i]));
  }
  std::vector<double> medians;
  for (const std::vector<double>& each : seconds) medians.push_back(median(each));
  return medians;
}

Calls repeated(const std::function<void()>& call) {
  return [call](int in_row) {
    for (int i = 0; i < in_row; ++i) call();
  };
}

}  // namespace

double bus_bytes_per_second(std::size_t bytes, double seconds, int workers) {
  return static_cast<double>(bytes) / seconds * 2 * (workers - 1) / workers;
}

AverageTimes measure_average(Backend& backend, Communicator& communicator, const RunConfig& config, int rounds,
                             RankProgress& progress) {
  const int workers = communicator.size();
  RunConfig own = config;
  resolve_ranks(own, {.workers = workers});
  own.batch = static_cast<int>(share_of(0, own.batch, communicator.rank(), workers).count);
  progress.enter(Phase::planning);
  BenchedStep step(backend, own, kWarmUp + rounds * kMostInRow, [&progress] { progress.touch(); });
  Weights& weights = step.weights();
  const FloatRange range = weights.communicated();
  const Attachment attachment = communicator.attach(weights.arena(), Use::most);
  progress.enter(Phase::averaging);

  std::vector<double> squares(static_cast<std::size_t>(workers));
  const auto check = [&] {
    backend.sum_of_squares(weights.data(), step.model().layout.trainable_elements);
    communicator.sum(std::span<double>(squares));
  };
  const auto refresh = [&] {
    weights.touch_by_update();
    step.refresh_copies();
  };
  const std::vector<double> beside = time_in_turn(backend, communicator, rounds, progress,
                                                  {repeated([&] { step.run(); }), repeated(check), repeated(refresh)});
  AverageTimes times{.network = step.model().network.name,
                     .workers = workers,
                     .in_shared_memory = communicator.is_faster_joined(range),
                     .sizes = {},
                     .images = own.batch,
                     .step = beside[0],
                     .check = beside[1],
                     .refresh = beside[2]};

  RankGroup group;
  group.workers = &communicator;
  group.size = static_cast<std::size_t>(workers);
  backend.zero(range.data, range.count * sizeof(float));  // so that no number of sums ends in infinity
  // The library's sums are of ordinary memory then, as without us.
  const Arena ordinary = backend.allocate(times.in_shared_memory ? range.count * sizeof(float) : 0, "bare sums");
  float* const bare = times.in_shared_memory ? ordinary.floats() : range.data;
  std::vector<std::size_t> sizes(std::begin(kSizes), std::end(kSizes));
  const std::size_t whole = range.count * sizeof(float);
  std::erase_if(sizes, [&](std::size_t bytes) { return bytes >= whole; });
  sizes.push_back(whole);
  const Arena square = backend.allocate(sizeof(double), "square of the mean");
  for (const std::size_t bytes : sizes) {
    const FloatRange part{range.data, bytes / sizeof(float)};
    const auto average = [&] {
      if (bytes < whole) return mean_over_group(backend, group, part);
      const float left = communicator.average_and_join(range, group.share());
      become_mean(backend, group, weights, range, left, static_cast<double*>(square.data()));
    };
    const std::vector<double> found = time_in_turn(backend, communicator, rounds, progress,
                                                   {repeated(average), [&](int in_row) {
                                                      communicator.bare_all_reduce({bare, part.count}, in_row);
                                                    }});
    times.sizes.push_back({.bytes = bytes, .average = found[0], .bare = found[1]});
  }
  return times;
}

}  // namespace convoy
