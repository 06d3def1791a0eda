// A run that is asked to stop by a signal: where it stops, its exit code, and what it leaves.
// labels: mpi
// needs: oneDNN
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <string_view>

#include "io/embedded.hpp"
#include "mpi/mpi_communicator.hpp"
#include "support/run_files.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"
#include "train/checkpoint/checkpoint_folder.hpp"

namespace convoy {
namespace {

class Stop : public testing::Test {
 protected:
  void SetUp() override {
    std::signal(SIGHUP, SIG_DFL);  // whatever the tests run under
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
    if (!mpi_missing().empty()) GTEST_SKIP() << mpi_missing();
    if (test::run_shell("command -v mpirun").code != 0) GTEST_SKIP() << "no mpirun on the PATH";
  }

  // Starts `convoy` train ..., runs `signals`, shell commands that know $job, when the run has a row of steps, and
  // waits for its end.
  test::ShellOutcome stopped(const std::string& convoy, const std::string& options, const std::string& signals,
                             const std::string& when = "[ -s $out/metrics.jsonl ]") const {
    const std::string train = convoy +
                              " train --recipe seed-baseline --data synthetic:2000 --threads 1 --log-every 1 " +
                              "--epochs 1000 --out $out " + options;
    return test::run_shell("out='" + run().string() + "'\n" + train + " > /dev/null 2>&1 &\njob=$!\n" +
                           "for i in $(seq 600); do " + when + " && break; sleep 0.05; done\n" + signals +
                           "\nwait $job");
  }
  std::filesystem::path run() const { return folder_.path() / "run"; }

  static constexpr const char* kConvoy = "'" CONVOY_TEST_EXECUTABLE "'";
  static constexpr const char* kLaunch =
      "CONVOY='" CONVOY_TEST_EXECUTABLE "' '" CONVOY_TEST_SOURCE_DIR "/tools/launch' 2";
  TemporaryFolder folder_;
};

TEST_F(Stop, each_of_the_signals_ends_a_run_with_75_and_its_name) {
  for (const std::string signal : {"TERM", "INT", "USR1", "HUP"}) {
    std::filesystem::remove_all(run());
    // A shell without job control lets its background jobs ignore SIGINT; the run takes it all the same.
    const auto outcome = stopped(kConvoy, "", "kill -" + signal + " $job");
    EXPECT_EQ(outcome.code, 75) << outcome.output;
    const auto summary = test::summary_of(run());
    EXPECT_EQ(summary["state"], "stopped");
    EXPECT_EQ(summary["reason"], "SIG" + signal);
    EXPECT_GT(summary["steps"], 0);
    EXPECT_LT(summary["steps"], 32'000);
  }
}

TEST_F(Stop, one_rank_that_is_asked_stops_all_after_the_same_step) {
  const auto outcome = stopped(kLaunch, "--average every:4 --log-ranks",
                               std::string(test::kRanksOf) + "kill -USR1 $(ranks $job | tail -n 1)");
  EXPECT_EQ(outcome.code, 75) << outcome.output;
  EXPECT_EQ(test::summary_of(run())["state"], "stopped");
  EXPECT_EQ(test::summary_of(run())["reason"], "SIGUSR1");
  const std::string steps =
      "tail -qn 1 '" + run().string() + "'/ranks/*.jsonl | sed 's/.*\"step\": *\\([0-9]*\\).*/\\1/' | sort -u";
  EXPECT_EQ(test::run_shell(steps + " | wc -l").output, "1\n") << test::run_shell(steps).output;
}

TEST_F(Stop, the_launcher_turns_an_interrupt_into_a_request) {
  const auto outcome = stopped(kLaunch, "", "kill -TERM $job");
  EXPECT_EQ(outcome.code, 75) << outcome.output;
}

TEST_F(Stop, a_second_signal_ends_a_run_at_once) {
  // One step takes longer than the signals.
  const auto outcome = stopped(kConvoy, "--batch 2000 --model resnet18 --log-every 0",
                               "kill -TERM $job; sleep 1.2; kill -TERM $job", "[ -s $out/summary.json ]");
  EXPECT_EQ(outcome.code, 128 + 15) << outcome.output;
}

TEST_F(Stop, an_evaluation_is_left_between_two_batches) {
  const auto outcome = stopped(kConvoy, "--steps 1 --evaluation-batch 1 --model resnet18 --batch 4", "kill -TERM $job");
  EXPECT_EQ(outcome.code, 75) << outcome.output;
  EXPECT_TRUE(test::rows_of(run(), "epoch").empty());
  EXPECT_FALSE(test::summary_of(run()).contains("test_accuracy"));
}

// Slurm kills 30 s after its SIGTERM.
TEST_F(Stop, every_network_of_the_zoo_has_saved_within_twenty_seconds) {
  const std::string timed =
      "begun=$(date +%s); kill -TERM $job; wait $job; code=$?; echo $(($(date +%s) - begun)); exit $code";
  for (const EmbeddedFile& network : embedded_networks()) {
    std::filesystem::remove_all(run());
    const auto outcome = stopped(kConvoy, "--batch 32 --model " + std::string(network.name), timed);
    EXPECT_EQ(outcome.code, 75) << network.name << ": " << outcome.output;
    EXPECT_LE(std::stoi("0" + outcome.output), 20) << network.name;
    EXPECT_EQ(CheckpointFolder(run()).steps().size(), 1) << network.name;
  }
}

}  // namespace
}  // namespace convoy
