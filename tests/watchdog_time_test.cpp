// Ranks that stand still, and jobs that only seem to: what takes a timeout to see.
// labels: slow alone
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/host_info.hpp"
#include "support/watchdog_job.hpp"
#include "watchdog/watchdog.hpp"

namespace convoy {
namespace {

using test::JobOptions;
using test::WatchdogJob;
using testing::Each;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr double kTimeout = 1.5;

std::string host() { return host_name(); }

// Rank 2 takes its time over step 340; the others are one collective ahead and wait for it there.
void leave_rank_2_behind(Watchdog& watchdog, int process) {
  RankProgress& progress = watchdog.progress(process);
  progress.enter(Phase::training);
  progress.at_step(1, 340);
  progress.enter_collective(340);
  progress.leave_collective();
  if (process != 2) progress.enter_collective(341);
  while (true) {
    test::sleep_for(0.01);
    if (process == 2) progress.touch();
  }
}

TEST(WatchdogTime, a_stopped_rank_is_named_although_the_others_wait_for_it) {
  WatchdogJob job({.timeout = kTimeout}, leave_rank_2_behind);
  job.wait_until_running();
  job.signal(2, SIGSTOP);
  EXPECT_LT(job.seconds_until("0 prints", 10), kTimeout + 1);
  job.signal(2, SIGCONT);
  EXPECT_THAT(job.exit_codes(2), ElementsAre(1, 1, 1));
  EXPECT_THAT(job.printed(),
              ElementsAre("convoy: rank 2 on " + host() +
                          " has not moved for 1.5 s: training, epoch 1, step 340, and its process is silent "
                          "(the others wait in collective 341)"));
}

TEST(WatchdogTime, a_rank_stopped_inside_the_collective_is_told_from_those_that_wait) {
  WatchdogJob job({.timeout = kTimeout}, [](Watchdog& watchdog, int process) {
    watchdog.progress(process).enter(Phase::training);
    watchdog.progress(process).enter_collective(7);
    test::hang();
  });
  job.wait_until_running();
  job.signal(1, SIGSTOP);
  EXPECT_LT(job.seconds_until("0 prints", 10), kTimeout + 1);
  EXPECT_THAT(job.printed(), ElementsAre(StartsWith("convoy: rank 1 on " + host() + " has not moved for 1.5 s: ")));
}

TEST(WatchdogTime, the_second_rank_of_a_process_is_judged_alone) {
  WatchdogJob job({.processes = 2, .ranks_per_process = 2, .timeout = kTimeout}, [](Watchdog& watchdog, int process) {
    watchdog.progress(2 * process + 1).enter(Phase::evaluating);
    if (process == 0) watchdog.progress(1).enter_collective(5);
    test::train(watchdog.progress(2 * process), 60);
  });
  job.wait_until_running();
  EXPECT_LT(job.seconds_until("0 prints", 10), kTimeout + 1);
  EXPECT_THAT(job.printed(), ElementsAre("convoy: rank 3 on " + host() +
                                         " has not moved for 1.5 s: evaluating, epoch 0, step 0 (another one waits in "
                                         "collective 5)"));
}

TEST(WatchdogTime, a_rank_that_makes_any_progress_survives_and_so_do_those_that_wait_for_it) {
  WatchdogJob job({.timeout = 0.7}, [](Watchdog& watchdog, int process) {
    watchdog.progress(process).enter(Phase::evaluating);
    if (process != 1) watchdog.progress(process).enter_collective(3);
    for (int i = 0; i < 20; ++i) {
      test::sleep_for(0.1);
      if (process == 1) watchdog.progress(process).touch();
    }
    watchdog.finish();
  });
  EXPECT_THAT(job.exit_codes(5), Each(0));
  EXPECT_THAT(job.printed(), IsEmpty());
}

TEST(WatchdogTime, starting_has_a_limit_of_its_own) {
  WatchdogJob job({.timeout = 0.5, .startup_timeout = 1.6}, [](Watchdog& watchdog, int process) {
    watchdog.progress(process).enter(process == 1 ? Phase::reading_data : Phase::starting);
    if (process != 1) watchdog.progress(process).enter_collective(1);
    test::hang();
  });
  const double seconds = job.seconds_until("0 prints", 10);
  EXPECT_GT(seconds, 1.4);
  EXPECT_LT(seconds, 2.6);
  EXPECT_THAT(job.printed(), ElementsAre("convoy: rank 1 on " + host() +
                                         " has not moved for 1.6 s: reading data (the others wait in collective 1)"));
}

TEST(WatchdogTime, a_job_that_was_suspended_as_a_whole_survives) {
  WatchdogJob job({.timeout = 1, .least_silence = 1}, [](Watchdog& watchdog, int process) {
    test::train(watchdog.progress(process), 4.5);
    watchdog.finish();
  });
  job.wait_until_running();
  for (const int process : {0, 1, 2}) job.signal(process, SIGSTOP);
  test::sleep_for(2.4);
  for (const int process : {1, 0, 2}) {  // each that is back finds another one away
    job.signal(process, SIGCONT);
    test::sleep_for(0.4);
  }
  EXPECT_THAT(job.exit_codes(6), Each(0));
  EXPECT_THAT(job.printed(), IsEmpty());
}

// The thread may be in a callback, or looking up a name, for a long time.
TEST(WatchdogTime, the_destructor_does_not_wait_for_its_thread) {
  const Rendezvous closed = WatchdogListener::open().rendezvous();
  std::optional<Watchdog> watchdog;
  watchdog.emplace(WatchdogOptions{.first_rank = 1,
                                   .world_size = 2,
                                   .connect_timeout = 0.2,
                                   .print = [](const std::string&) { test::sleep_for(2); }},
                   closed);
  test::sleep_for(0.6);  // it has found the port closed, and warns
  const auto start = std::chrono::steady_clock::now();
  watchdog.reset();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_GT(seconds, 0.9);  // it was still at it
  EXPECT_LT(seconds, 1.2);
  test::sleep_for(1.2);  // until it is gone: the next test forks
}

// Nobody is there to judge rank 0's process but the others, each for itself.
TEST(WatchdogTime, a_stopped_rank_0_ends_the_others_and_one_of_them_says_so) {
  WatchdogJob job({.timeout = 1, .least_silence = 1.2},
                  [](Watchdog& watchdog, int process) { test::train(watchdog.progress(process), 60); });
  job.wait_until_running();
  job.signal(0, SIGSTOP);
  EXPECT_LT(job.seconds_until("1 prints", 10), 2.2);
  if (job.count("2 learns silent of 0") == 0) EXPECT_LT(job.seconds_until("2 learns silent of 0", 5), 1);
  job.signal(0, SIGKILL);
  EXPECT_THAT(job.exit_codes(3), ElementsAre(-SIGKILL, 1, 1));
  EXPECT_THAT(job.printed(),
              ElementsAre(StartsWith("convoy: rank 0 on " + host() + " is silent for 1.2 s, last in training")));
}

// Rank 1 looks as if it stood still for longer than the timeout, and goes on afterwards.
void pause_rank_1(Watchdog& watchdog, int process) {
  watchdog.progress(process).enter(Phase::training);
  if (process == 1) test::sleep_for(1.6);
  if (process != 1) test::train(watchdog.progress(process), 1.6);
  watchdog.finish();
}

// Holds every thread of a process, as gdb does.
class Debugger {
 public:
  explicit Debugger(pid_t pid) {
    for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid))) {
      const pid_t thread = std::stoi(entry.path().filename());
      if (::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) return;
      ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
      ::waitpid(thread, nullptr, __WALL);
      threads_.push_back(thread);
    }
  }
  bool is_allowed() const { return !threads_.empty(); }
  void let_go() {
    for (const pid_t thread : threads_) ::ptrace(PTRACE_DETACH, thread, nullptr, nullptr);
  }

 private:
  std::vector<pid_t> threads_;
};

TEST(WatchdogTime, under_a_debugger_it_warns_once) {
  WatchdogJob job({.timeout = 0.6}, pause_rank_1);
  job.wait_until_running();
  if (::ptrace(PTRACE_SEIZE, job.pid(1), nullptr, nullptr) != 0) GTEST_SKIP() << "ptrace is not allowed here";
  EXPECT_THAT(job.exit_codes(5), Each(0));
  EXPECT_THAT(job.printed(), ElementsAre("convoy: warning: rank 1 on " + host() +
                                         " has not moved for 0.6 s: training, epoch 0, step 0; a debugger or profiler "
                                         "is at work, so the job goes on"));
}

// A debugger's first act: the process has no moment left to say that it is traced.
TEST(WatchdogTime, a_process_that_a_debugger_holds_is_seen_from_rank_0) {
  WatchdogJob job({.timeout = 0.6}, [](Watchdog& watchdog, int process) {
    test::train(watchdog.progress(process), 2.4);
    watchdog.finish();
  });
  job.wait_until_running();
  Debugger debugger(job.pid(1));
  if (!debugger.is_allowed()) GTEST_SKIP() << "ptrace is not allowed here";
  test::sleep_for(1.4);
  debugger.let_go();
  EXPECT_THAT(job.exit_codes(5), Each(0));
  EXPECT_THAT(job.printed(), ElementsAre(StartsWith("convoy: warning: rank 1 on ")));
}

TEST(WatchdogTime, under_a_profiler_it_warns_once) {
  ::setenv("NSYS_PROFILING_SESSION_ID", "1", 1);
  WatchdogJob job({.timeout = 0.6}, pause_rank_1);
  ::unsetenv("NSYS_PROFILING_SESSION_ID");
  EXPECT_THAT(job.exit_codes(5), Each(0));
  EXPECT_THAT(job.printed(), ElementsAre(EndsWith("a debugger or profiler is at work, so the job goes on")));
}

}  // namespace
}  // namespace convoy
