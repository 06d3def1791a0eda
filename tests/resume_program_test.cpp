// Runs that are stopped by a signal, killed, or hindered, and go on: by processes, as a job script would do it.
// labels: mpi
// needs: oneDNN
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "mpi/mpi_communicator.hpp"
#include "support/program_test.hpp"
#include "support/run_files.hpp"
#include "support/smooth_networks.hpp"
#include "train/checkpoint/checkpoint_folder.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ResumeProgram : public test::ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    std::ofstream(file("smooth_norm.json")) << test::kSmoothNormNetwork;
  }

  // From here on CONVOY is the program with a library of tests/preload before its own; LD_PRELOAD's names have no
  // spaces.
  static std::string preload(const std::string& name) {
    return "ln -sf '" CONVOY_TEST_PRELOADS "/" + name + ".so' .\nprintf '#!/bin/sh\\nLD_PRELOAD=%s/" + name +
           ".so ASAN_OPTIONS=verify_asan_link_order=0 exec \"%s\" \"$@\"\\n' \"$PWD\" \"$CONVOY\" > preloaded\n"
           "chmod +x preloaded; export CONVOY=$PWD/preloaded\n";
  }
};

const std::string kTrain =
    "train --data synthetic:300 --model smooth_norm.json --batch 20 --threads 1 --optimizer sgd --momentum 0.9 "
    "--learning-rate 0.01 --evaluation-batch 100 ";
// 1500 steps, long enough for a signal to come between.
const std::string kLong = kTrain + "--epochs 100 --evaluate-every end --log-every 1 ";

TEST_F(ResumeProgram, one_command_starts_goes_on_and_knows_when_all_is_done) {
  const std::string command = "\"$CONVOY\" " + kLong + "--out run --resume auto";
  const auto stopped =
      shell(command + " 2>&1 &\njob=$!\n" + wait_for("[ -s run/metrics.jsonl ]") + "kill -TERM $job\nwait $job");
  ASSERT_EQ(stopped.code, 75) << stopped.output;
  EXPECT_THAT(stopped.output, HasSubstr("starts afresh"));
  EXPECT_EQ(test::summary_of(file("run"))["state"], "stopped");
  const auto done = shell("\"$CONVOY\" train --resume auto --out run 2>&1");
  ASSERT_EQ(done.code, 0) << done.output;
  EXPECT_THAT(done.output, HasSubstr("resumed after step"));
  EXPECT_EQ(test::summary_of(file("run"))["state"], "done");
  EXPECT_FALSE(fs::exists(file("run.1"))) << "moved aside";
  const auto whole = shell("\"$CONVOY\" " + kLong + "--out whole 2>&1");
  ASSERT_EQ(whole.code, 0) << whole.output;
  EXPECT_EQ(test::weights_of(file("run")), test::weights_of(file("whole")));
  const auto steps = [&](const char* run) {
    std::vector<double> losses;
    for (const auto& row : test::rows_of(file(run), "step")) losses.push_back(row["loss"]);
    return losses;
  };
  EXPECT_EQ(steps("run"), steps("whole"));
  const auto again = shell(command + " 2>&1");
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(again.output, "the run in run has taken its 1500 steps: nothing to resume\n");
  const auto refused = shell(command + " --batch 10 2>&1");
  EXPECT_EQ(refused.code, 2);
  EXPECT_EQ(refused.output,
            "convoy: --batch: the run has '20' and cannot go on with '10'; leave it out, or start anew with another "
            "--out\n");
}

TEST_F(ResumeProgram, a_run_that_is_done_without_a_checkpoint_becomes_nothing_else) {
  std::ofstream(file("groups.toml")) << "batch = 10\n[groups.filters]\nlearning-rate = 0.2\n";
  const std::string command =
      "\"$CONVOY\" " + kTrain +
      "--recipe groups.toml --batch-per-rank 20 --virtual-ranks 2 --scale-rate linear --epochs 1 --out run ";
  ASSERT_EQ(shell(command + "2>&1").code, 0);
  for (const std::string& same : {command, std::string("\"$CONVOY\" train --out run --threads 2 ")}) {
    const auto again = shell(same + "--resume auto 2>&1");
    EXPECT_EQ(again.code, 0);
    EXPECT_EQ(again.output, "the run in run has taken its 8 steps: nothing to resume\n");
  }
  const std::string kLonger =
      "convoy: run is done and left no checkpoint to go on from; use another --out, with --checkpoint-every\n";
  for (const auto& [more, message] :
       {std::pair("--epochs 4 --learning-rate 0.5", kLonger), std::pair("--epochs 2 --steps 9", kLonger),
        std::pair("--learning-rate 0.5", std::string("--learning-rate: the run has '")),
        std::pair("--model seed", std::string("--model: the run has '")),
        std::pair("--group filters.momentum=0.5", std::string("--group filters.momentum: the run has '"))}) {
    const auto refused = shell("\"$CONVOY\" train --resume auto --out run " + std::string(more) + " 2>&1");
    EXPECT_EQ(refused.code, 2) << more;
    EXPECT_THAT(refused.output, HasSubstr(message)) << more;
    EXPECT_EQ(std::ranges::count(refused.output, '\n'), 1) << refused.output;
  }
}

TEST_F(ResumeProgram, processes_of_mpirun_go_on_to_the_bit) {
  if (test::run_shell("command -v mpirun").code != 0) GTEST_SKIP() << "no mpirun on the PATH";
  const std::string launch = "\"$launch\" 2 " + kLong + "--average every:3 --average-delay 1 ";
  const auto whole = shell(launch + "--out whole 2>&1");
  ASSERT_EQ(whole.code, 0) << whole.output;
  const auto stopped =
      shell(launch + "--out run --checkpoint-every 50 2>&1 &\njob=$!\n" +
            wait_for("[ $(cat run/metrics.jsonl 2> /dev/null | wc -l) -gt 120 ]") + "kill -TERM $job\nwait $job");
  ASSERT_EQ(stopped.code, 75) << stopped.output;
  const auto done = shell("\"$launch\" 2 train --resume auto --out run 2>&1");
  ASSERT_EQ(done.code, 0) << done.output;
  EXPECT_THAT(done.output, HasSubstr("resumed after step"));
  EXPECT_EQ(test::weights_of(file("run")), test::weights_of(file("whole")));
}

// As on hosts with folders of their own, where the run lies on the first one's alone.
TEST_F(ResumeProgram, processes_that_do_not_see_the_run_know_from_the_first_that_it_is_done) {
  if (!mpi_missing().empty()) GTEST_SKIP() << mpi_missing();
  if (test::run_shell("command -v mpirun").code != 0) GTEST_SKIP() << "no mpirun on the PATH";
  const std::string apart =
      "printf '#!/bin/sh\\nmine=of-${OMPI_COMM_WORLD_RANK:-$PMI_RANK}\\nmkdir -p $mine && cd $mine && exec timeout "
      "-s KILL 60 \"%s\" \"$@\"\\n' \"$CONVOY\" > apart\nchmod +x apart; export CONVOY=$PWD/apart\n";
  const std::string train = apart + "\"$launch\" 2 " + kTrain;
  const std::string there = "--model ../smooth_norm.json --epochs 1 --out run ";
  const auto first = shell(train + there + "2>&1");
  ASSERT_EQ(first.code, 0) << first.output;
  ASSERT_TRUE(fs::exists(file("of-0/run/summary.json")));
  ASSERT_FALSE(fs::exists(file("of-1/run")));
  const auto again = shell(train + there + "--resume auto 2>&1");
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("the run in run has taken its 15 steps: nothing to resume\n"));
}

// By an hour, back and forth: the clock that NTP sets, and that a person sees.
TEST_F(ResumeProgram, jumps_of_the_wall_clock_change_nothing) {
  const std::string newest = "ls -d run/checkpoints/step-* 2> /dev/null | tail -n 1";
  const std::string wait = "last=$(" + newest + ")\n" + wait_for("[ \"$(" + newest + ")\" \\> \"$last\" ]");
  const auto jump = [&](const char* seconds) {
    // The second one was certainly asked for after the jump.
    return std::string("echo ") + seconds + " > clock.new; mv clock.new clock\n" + wait + wait + "[ \"$(" + newest +
           ")\" \\> \"$last\" ] || { echo no checkpoint after " + seconds + "; kill -9 $job; exit 1; }\n";
  };
  const std::string clock = preload("clock") + "export CONVOY_TEST_CLOCK=$PWD/clock\n";
  const auto begun = std::chrono::steady_clock::now();
  const auto killed =
      shell(clock + "\"$CONVOY\" " + kLong + "--epochs 100000 --checkpoint-every 1s --out run 2>&1 &\njob=$!\n" +
            wait_for("[ -n \"$(" + newest + ")\" ]") + jump("-3600") + jump("3600") + "kill -9 $job\nwait $job");
  EXPECT_EQ(killed.code, 128 + 9);
  EXPECT_THAT(killed.output, testing::Not(HasSubstr("no checkpoint after")));
  const std::int64_t step = CheckpointFolder(file("run")).steps().front();
  const auto done = shell("echo -7200 > clock\n" + clock + "\"$CONVOY\" train --resume auto --out run --steps " +
                          std::to_string(step + 100) + " 2>&1");
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begun;
  EXPECT_EQ(done.code, 0) << done.output;
  const auto summary = test::summary_of(file("run"));
  EXPECT_EQ(summary["resumed_at_step"], step);
  for (const char* duration :
       {"seconds", "startup_seconds", "train_seconds", "evaluation_seconds", "checkpoint_seconds"}) {
    EXPECT_GE(summary[duration], 0) << duration;
    EXPECT_LE(summary[duration], passed.count()) << duration;
  }
  double before = 0;
  for (const auto& row : test::rows_of(file("run"), "step")) {
    EXPECT_GE(row["elapsed_seconds"], before) << row;
    before = row["elapsed_seconds"];
  }
}

TEST_F(ResumeProgram, by_time_too) {
  const auto outcome =
      shell("\"$CONVOY\" " + kLong + "--epochs 100000 --checkpoint-every 1s --out run 2>&1 &\njob=$!\n" +
            wait_for("ls run/checkpoints/step-* 2> /dev/null | grep -q .") + "kill -9 $job\nwait $job");
  ASSERT_EQ(outcome.code, 128 + 9);
  EXPECT_EQ(shell("\"$CONVOY\" train --resume auto --out run --epochs 1 2>&1").code, 0);
  EXPECT_GT(test::summary_of(file("run"))["resumed_at_step"], 0);
}

TEST_F(ResumeProgram, by_time_on_several_processes_too) {
  if (test::run_shell("command -v mpirun").code != 0) GTEST_SKIP() << "no mpirun on the PATH";
  const std::string has_saved = "ls run/checkpoints/step-*/rank-1.safetensors 2> /dev/null | grep -q .";
  const auto outcome = shell("\"$launch\" 2 " + kLong +
                             "--average every:4 --epochs 100000 --checkpoint-every 1s --out run 2>&1 &\njob=$!\n" +
                             wait_for(has_saved) + has_saved + " || echo no checkpoint\nkill -TERM $job\nwait $job");
  EXPECT_EQ(outcome.code, 75) << outcome.output;
  EXPECT_THAT(outcome.output, testing::Not(HasSubstr("no checkpoint")));
}

// A file where the folder would be hinders root too.
TEST_F(ResumeProgram, a_checkpoint_that_cannot_be_written_is_a_warning_and_a_stop_without_one_a_failure) {
  const std::string hindered = "\"$CONVOY\" " + kLong + "--out run --checkpoint-every 30 2>&1 &\njob=$!\n" +
                               wait_for("[ -s run/summary.json ]") +
                               // Once more where a checkpoint began between the two.
                               "until rm -rf run/checkpoints && echo in the way > run/checkpoints; do :; done\n";
  const auto goes_on = shell(hindered + "wait $job");
  EXPECT_EQ(goes_on.code, 0) << goes_on.output;
  EXPECT_THAT(goes_on.output, HasSubstr("warning: no checkpoint: "));
  const auto stopped = shell("rm -rf run\n" + hindered + "kill -TERM $job\nwait $job");
  EXPECT_EQ(stopped.code, 1) << stopped.output;
  EXPECT_THAT(stopped.output, HasSubstr("stopped, but without a checkpoint of step"));
}

// The second checkpoint of this network finds no room.
TEST_F(ResumeProgram, a_full_disk_is_a_warning) {
  const std::string mounted = "unshare -Urm sh -c 'mount -t tmpfs -o size=160k full ";
  if (shell("mkdir full\n" + mounted + "full' 2>&1").code != 0)
    GTEST_SKIP() << "no file system of one's own can be mounted";
  const auto outcome =
      shell("mkdir -p full\n" + mounted + "full && \"$CONVOY\" " + kTrain +
            "--epochs 3 --checkpoint-every 5 --log-every 1 --out full/run; code=$?; ls full/run/checkpoints; "
            "exit $code' 2>&1");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("warning: no checkpoint: "));
  EXPECT_THAT(outcome.output, HasSubstr(" bytes needed, "));
}

}  // namespace
}  // namespace convoy
