// labels: mpi
// tools/experiments/scaling: what runs and peers have taken, over each other.
// needs: oneDNN
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "mpi/mpi_communicator.hpp"
#include "support/markdown.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

namespace convoy::test {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

class ScalingExperiment : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
    if (run_shell("python3 --version").code != 0) GTEST_SKIP() << "no python3 on the PATH";
    if (!mpi_missing().empty()) GTEST_SKIP() << mpi_missing();
  }
  // Of one round, with an interpreter of that shell script in PyTorch's place.
  ShellOutcome experiment(const std::string& script) const {
    const std::filesystem::path python = folder_.path() / "python";
    std::ofstream(python) << "#!/bin/sh\n" << script;
    std::filesystem::permissions(python, std::filesystem::perms::owner_all);
    return run_shell("cd '" + folder_.path().string() +
                     "' && python3 '" CONVOY_TEST_SOURCE_DIR
                     "/tools/experiments/scaling' --convoy '" CONVOY_TEST_EXECUTABLE
                     "' --rounds 1 --batches 8 --steps 2 --policies step --out runs --torch ./python 2>&1");
  }
  // The median over the epochs but the first.
  double seconds_of_step(const std::string& policy) const {
    std::ifstream metrics(folder_.path() / "runs/seed-baseline-batch-8/round-0" / policy / "metrics.jsonl");
    std::vector<double> found;
    Json before;
    for (std::string line; std::getline(metrics, line);) {
      const Json row = Json::parse(line);
      if (row["kind"] != "epoch") continue;
      if (!before.is_null()) {
        found.push_back((row["train_seconds"].get<double>() - before["train_seconds"].get<double>()) /
                        (row["step"].get<double>() - before["step"].get<double>()));
      }
      before = row;
    }
    std::sort(found.begin(), found.end());
    return found.at(found.size() / 2);
  }

  TemporaryFolder folder_;
};

TEST_F(ScalingExperiment, gives_efficiencies_of_convoy_and_of_pytorch) {
  const std::string script = R"(case $* in
    *torch_ddp.py*'--ranks 1'*) echo '{"images_per_second": 100}' ;;
    *torch_ddp.py*'--ranks 2'*) echo '{"images_per_second": 150}' ;;
    esac)";
  const ShellOutcome outcome = experiment(script);
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  constexpr double kRounding = 0.0051;  // two printed digits
  const auto efficiency = [&](const std::string& row) {
    const std::vector<std::string> cells = table_row(outcome.output, "8 | " + row);
    return cells.size() > 2 ? std::stod(cells[2]) : -1;
  };
  EXPECT_NEAR(efficiency("step"), seconds_of_step("alone") / seconds_of_step("step"), kRounding);
  EXPECT_NEAR(efficiency("never"), seconds_of_step("alone") / seconds_of_step("never"), kRounding);
  EXPECT_NEAR(efficiency("PyTorch's DistributedDataParallel"), 0.75, kRounding);

  const ShellOutcome again = experiment(script);
  EXPECT_THAT(again.output, HasSubstr("round-0/step: done before"));
  EXPECT_EQ(table_row(again.output, "8 | step"), table_row(outcome.output, "8 | step"));
}

TEST_F(ScalingExperiment, says_what_pytorch_lacks) {
  const ShellOutcome outcome = experiment(R"(echo '{"unavailable": "PyTorch cannot be imported"}')");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("--torch: PyTorch cannot be imported"));
}

}  // namespace
}  // namespace convoy::test
