// --repeat as a user meets it: what is stopped goes on with the seeds that are not done, by processes too.
// labels: mpi
// needs: oneDNN
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "mpi/mpi_communicator.hpp"
#include "support/data_files.hpp"
#include "support/files.hpp"
#include "support/program_test.hpp"
#include "support/run_files.hpp"
#include "support/smooth_networks.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using test::text_of;
using testing::AllOf;
using testing::HasSubstr;

const std::string kTrain =
    "train --data synthetic:300 --model smooth.json --batch 20 --threads 1 --optimizer sgd --momentum 0.9 "
    "--learning-rate 0.01 --evaluation-batch 100 --epochs 200 --evaluate-every end --log-every 1 --seed 4 ";

class SeriesProgram : public test::ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    std::ofstream(file("smooth.json")) << test::kSmoothNormNetwork;
  }

  // The series is stopped by a signal in its second run, goes on, and then is what it would have been. Processes agree
  // on a stop within two seconds: by then the second run may be done, and the third must not begin.
  void expect_to_go_on(const std::string& program, int epochs, const std::string& options) {
    const std::string steps = std::to_string(epochs * 15);
    const std::string command = program + kTrain + "--epochs " + std::to_string(epochs) + " " + options;
    const auto stopped = shell(command + "--repeat 3 --out series 2>&1 &\njob=$!\n" +
                               wait_for("[ -s series/seed-5/metrics.jsonl ]") + "kill -TERM $job\nwait $job");
    ASSERT_EQ(stopped.code, 75) << stopped.output;
    EXPECT_EQ(test::summary_of(file("series/seed-4"))["state"], "done");
    const bool is_within_a_run = test::summary_of(file("series/seed-5"))["state"] == "stopped";
    EXPECT_FALSE(fs::exists(file("series/seed-6")));
    const std::string first = text_of(file("series/seed-4/summary.json"));

    const auto done = shell(program + "train --resume auto --out series 2>&1");
    ASSERT_EQ(done.code, 0) << done.output;
    EXPECT_THAT(done.output,
                AllOf(HasSubstr("the run in series/seed-4 has taken its " + steps + " steps: nothing to resume"),
                      HasSubstr(is_within_a_run ? "resumed after step" : "seed-5 has taken its " + steps),
                      HasSubstr("(n = 3)")));
    EXPECT_EQ(text_of(file("series/seed-4/summary.json")), first);
    EXPECT_FALSE(fs::exists(file("series.1"))) << "moved aside";
    for (const std::string seed : {"5", "6"}) {
      const auto alone = shell(command + "--seed " + seed + " --out alone-" + seed + " 2>&1");
      ASSERT_EQ(alone.code, 0) << alone.output;
      EXPECT_EQ(test::weights_of(file("series/seed-" + seed)), test::weights_of(file("alone-" + seed))) << seed;
    }
    const auto again = shell(command + "--repeat 3 --out series --resume auto 2>&1");
    EXPECT_EQ(again.code, 0);
    EXPECT_THAT(again.output, AllOf(HasSubstr("the run in series/seed-4 has taken its " + steps + " steps"),
                                    HasSubstr("the run in series/seed-6 has taken"), HasSubstr("(n = 3)")));
  }
};

// Long enough for a signal to come between.
TEST_F(SeriesProgram, goes_on_with_the_seeds_that_are_not_done) { expect_to_go_on("\"$CONVOY\" ", 200, ""); }

TEST_F(SeriesProgram, of_processes_too) {
  if (!mpi_missing().empty()) GTEST_SKIP() << mpi_missing();
  if (test::run_shell("command -v mpirun").code != 0) GTEST_SKIP() << "no mpirun on the PATH";
  expect_to_go_on("\"$launch\" 2 ", 60, "--average every:3 --average-delay 1 ");
}

TEST_F(SeriesProgram, prints_a_table_and_moves_an_old_series_aside) {
  const std::string command = "\"$CONVOY\" " + kTrain + "--steps 2 --repeat 2 --out series 2>&1";
  const auto first = shell(command);
  ASSERT_EQ(first.code, 0) << first.output;
  EXPECT_THAT(first.output, AllOf(HasSubstr("\n  seed  test accuracy\n     4  0."), HasSubstr("\n     5  0."),
                                  HasSubstr("\n  mean  0."), HasSubstr(" (n = 2)\n")));
  EXPECT_EQ(first.output.find("device: cpu"), first.output.rfind("device: cpu")) << "the device is chosen once";
  const auto second = shell(command);
  EXPECT_THAT(second.output, HasSubstr("the run in series is now series.1\n"));
  EXPECT_TRUE(fs::exists(file("series.1/seed-5/weights.safetensors")));
  const auto repeated = shell("\"$CONVOY\" train --recipe series/recipe.toml --out again 2>&1");
  ASSERT_EQ(repeated.code, 0) << repeated.output;
  EXPECT_EQ(test::weights_of(file("again/seed-5")), test::weights_of(file("series/seed-5")));
}

TEST_F(SeriesProgram, does_not_become_longer_in_some_of_its_seeds_alone) {
  ASSERT_EQ(shell("\"$CONVOY\" " + kTrain + "--epochs 1 --checkpoint-every 10 --repeat 2 --out series 2>&1").code, 0);
  fs::remove_all(file("series/seed-5/checkpoints"));
  const auto refused = shell("\"$CONVOY\" train --resume auto --out series --epochs 2 2>&1");
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.output, HasSubstr("series/seed-5 is done and left no checkpoint to go on from; use another"));
  EXPECT_EQ(test::summary_of(file("series/seed-4"))["epochs"], 1) << "no seed has gone on";
}

TEST_F(SeriesProgram, is_a_row_of_the_table_tool) {
  if (test::run_shell("command -v python3").code != 0) GTEST_SKIP() << "no python3 on the PATH";
  ASSERT_EQ(shell("\"$CONVOY\" " + kTrain + "--steps 2 --repeat 2 --out series 2>&1").code, 0);
  const auto table = shell("'" CONVOY_TEST_SOURCE_DIR "/tools/table' series --format csv 2>&1");
  EXPECT_THAT(table.output, HasSubstr("run,2,")) << table.output;
}

// They are taken away while the first run is at work.
TEST_F(SeriesProgram, reads_its_data_once) {
  fs::create_directories(file("data"));
  test::write(file("data").string(), test::idx_files(300, 60));
  const auto outcome = shell("\"$CONVOY\" " + kTrain + "--data data --repeat 2 --out series 2>&1 &\njob=$!\n" +
                             wait_for("[ -s series/seed-4/metrics.jsonl ]", 60) + "mv data elsewhere\nwait $job");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_EQ(test::summary_of(file("series/seed-5"))["state"], "done");
}

}  // namespace
}  // namespace convoy
