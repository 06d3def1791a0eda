// However images reach the device, training and evaluation are the same to the bit: --data-mode staged equals resident.
// Steps are replayed as CUDA graphs from the second of a kind on.
// needs: oneDNN
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "support/backends.hpp"
#include "support/run_files.hpp"
#include "support/smooth_networks.hpp"
#include "support/temporary_folder.hpp"
#include "support/training_run.hpp"
#include "train/train.hpp"
#include "train/worker_threads.hpp"

namespace convoy::test {
namespace {

using Settings = std::vector<Setting>;

// Three epochs of eleven steps, the last of 3 images; evaluations of two batches and a part.
const Settings kCommon = {{"data", "synthetic:123"}, {"validation", "20"},      {"batch", "10"},
                          {"epochs", "3"},           {"evaluation-batch", "9"}, {"views", "2"},
                          {"flip", "random"},        {"translate", "2"},        {"cutout", "6"},
                          {"momentum", "0.9"},       {"nesterov", "true"},      {"learning-rate", "0.02"},
                          {"weight-decay", "5e-4"},  {"log-every", "1"},        {"threads", "1"}};

struct Case {
  const char* device;
  const char* name;
  int workers;
  Settings settings;
};
void PrintTo(const Case& one, std::ostream* stream) { *stream << one.name << "_on_" << one.device; }

// What may differ between two runs is left out: times, and the memory that images take.
struct Outcome {
  RunWeights weights;
  std::vector<double> losses;  // of the steps
  std::vector<std::vector<double>> epochs;
  bool operator==(const Outcome&) const = default;
};

class DataModes : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (std::string(GetParam().device) == "cpu") return;
    if (const std::string lacks = lacks_gpus(GetParam().workers); !lacks.empty()) GTEST_SKIP() << lacks;
  }

  Outcome outcome(const std::string& mode) {
    std::ofstream(folder_.path() / "tiny.json") << kTinyNetwork;
    const std::filesystem::path folder = folder_.path() / mode;
    const Settings here = {{"model", (folder_.path() / "tiny.json").string()},
                           {"device", GetParam().device},
                           {"data-mode", mode},
                           {"out", folder.string()}};
    const RunConfig config = resolve_config("", with(with(kCommon, here), GetParam().settings));
    run_worker_threads(GetParam().workers, [&](Communicator& communicator) {
      Progress progress(nowhere_.get(), Progress::Style::lines, [] { return 0.0; });
      RunContext context(clock_, {}, progress, communicator.rank() == 0);
      train(config, communicator, context);
    });
    Outcome found{weights_of(folder), {}, {}};
    for (const nlohmann::json& row : rows_of(folder, "step")) found.losses.push_back(row["loss"]);
    for (const nlohmann::json& row : rows_of(folder, "epoch")) {
      found.epochs.push_back({row["train_loss"], row["validation_loss"], row["validation_accuracy"]});
    }
    const nlohmann::json summary = summary_of(folder);
    found.epochs.push_back({summary["test_loss"], summary["test_accuracy"], summary["test_accuracy_plain"]});
    return found;
  }

 private:
  TemporaryFolder folder_;
  ProcessClock clock_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere_{std::fopen("/dev/null", "w"), &std::fclose};
};

TEST_P(DataModes, staged_equals_resident_to_the_bit) {
  const Outcome resident = outcome("resident"), staged = outcome("staged");
  EXPECT_EQ(resident.losses.size(), 33U);
  EXPECT_EQ(resident.epochs.size(), 4U);
  EXPECT_EQ(staged.losses, resident.losses);
  EXPECT_EQ(staged.epochs, resident.epochs);
  EXPECT_EQ(staged.weights, resident.weights);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* device : {"cpu", "cuda"}) {
    all.push_back({device, "one_rank", 1, {}});
    all.push_back({device, "gradients_of_three_virtual_ranks", 1, {{"virtual-ranks", "3"}}});
    // Ranks 3 and 4 have no image in the last step; recalibration takes batches out of the epoch's middle.
    all.push_back({device,
                   "weights_of_five_virtual_ranks",
                   1,
                   {{"virtual-ranks", "5"}, {"average", "every:4"}, {"recalibrate", "7"}, {"local-accuracy", "true"}}});
    all.push_back(
        {device, "a_run_that_ends_within_an_epoch", 1, {{"steps", "33"}, {"epochs", "4"}, {"test-images", "11"}}});
    all.push_back({device, "two_workers_of_two_ranks", 2, {{"virtual-ranks", "2"}, {"average", "every:4"}}});
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(Devices, DataModes, testing::ValuesIn(cases()),
                         [](const auto& one) { return std::string(one.param.name) + "_on_" + one.param.device; });

}  // namespace
}  // namespace convoy::test
