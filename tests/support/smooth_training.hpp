// Trainings of the smooth networks, for tests that two of them stay together: what they are told, and a fixture that
// runs them in a folder of its own.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "support/run_files.hpp"
#include "support/smooth_networks.hpp"
#include "support/temporary_folder.hpp"
#include "train/series.hpp"
#include "train/train.hpp"
#include "train/worker_threads.hpp"

namespace convoy::test {

using Settings = std::vector<Setting>;

inline Settings operator+(Settings first, const Settings& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

// fp32 sums in another order are off by some 1e-7 of their terms; smooth networks at these rates multiply that by less
// than ten in 20 steps.
constexpr double kRounding = 1e-5;
// Adam divides a gradient by its own size, so the smallest count as much as the largest, with their larger relative
// error; five Newton-Schulz steps multiply a small singular value and its error by 3.44^5 = 485.
constexpr double kAmplified = 1e-4;

inline const Settings kNesterov = {{"optimizer", "sgd"},
                                   {"momentum", "0.9"},
                                   {"nesterov", "true"},
                                   {"learning-rate", "0.02"},
                                   {"weight-decay", "5e-4"}};
inline const Settings kAdam = {{"optimizer", "adam"}, {"learning-rate", "2e-3"}};
inline const Settings kMuon = {{"optimizer", "sgd"},
                               {"momentum", "0.9"},
                               {"learning-rate", "0.02"},
                               {"group", "filters.optimizer=muon"},
                               {"group", "filters.learning-rate=0.02"}};

// Two epochs of ten steps, 24 images each: as many for each of 1, 2, 3, 4 or 8 ranks.
inline const Settings kEven = {{"data", "synthetic:240"}, {"batch", "24"}, {"epochs", "2"}};
// Two epochs of eleven steps, the last of 3 images.
inline const Settings kUneven = {{"data", "synthetic:103"}, {"batch", "10"}, {"epochs", "2"}};

class SmoothTraining : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(folder_.path() / "smooth.json") << kSmoothNetwork;
    std::ofstream(folder_.path() / "smooth_norm.json") << kSmoothNormNetwork;
  }

  Settings smooth() const { return {{"model", (folder_.path() / "smooth.json").string()}}; }
  Settings smooth_norm() const { return {{"model", (folder_.path() / "smooth_norm.json").string()}}; }

  // The folder of a run by so many workers, each a thread.
  std::filesystem::path run(const Settings& settings, int workers = 1) {
    const std::filesystem::path folder = folder_.path() / ("run-" + std::to_string(++runs_));
    const RunConfig config =
        resolve_config("", Settings{{"out", folder.string()}, {"threads", "1"}, {"evaluation-batch", "7"}} + settings);
    go_on(config, workers);
    return folder;
  }
  void go_on(const RunConfig& config, int workers = 1, std::FILE* terminal = nullptr) {
    run_worker_threads(workers, [&](Communicator& communicator) {
      Progress progress(terminal != nullptr ? terminal : nowhere_.get(), Progress::Style::lines, [] { return 0.0; });
      RunContext context(clock_, {}, progress, communicator.rank() == 0);
      train(config, communicator, context);
    });
  }
  // One run after the other (--repeat), in seed-S of the folder.
  void run_series(const std::filesystem::path& folder, const Settings& settings, int workers = 1) {
    go_on_with_series(
        resolve_config("", Settings{{"out", folder.string()}, {"threads", "1"}, {"evaluation-batch", "7"}} + settings),
        workers);
  }
  void go_on_with_series(const RunConfig& config, int workers = 1) {
    run_worker_threads(workers, [&](Communicator& communicator) {
      Progress progress(nowhere_.get(), Progress::Style::lines, [] { return 0.0; });
      RunContext context(clock_, {}, progress, communicator.rank() == 0);
      train_all(config, runs_of(config), communicator, context);
    });
  }
  RunWeights trained(const Settings& settings, int workers = 1) { return weights_of(run(settings, workers)); }

  TemporaryFolder folder_;

 private:
  ProcessClock clock_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere_{std::fopen("/dev/null", "w"), &std::fclose};
  int runs_ = 0;
};

}  // namespace convoy::test
