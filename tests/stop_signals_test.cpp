// How a process takes signals that ask it to stop: noted by a thread of their own, no handler, the second one deadly.
#include "io/stop_signals.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

namespace convoy {
namespace {

using std::chrono::milliseconds;

// Each case ends a process of its own.
class StopSignals : public testing::Test {
 protected:
  StopSignals() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    std::signal(SIGHUP, SIG_DFL);  // whatever the tests run under
  }
};

void send(int signal) { ::kill(::getpid(), signal); }

// 0 where nothing comes in five seconds.
int wait_for_one() {
  for (int i = 0; i < 500 && received_stop_signal() == 0; ++i) std::this_thread::sleep_for(milliseconds(10));
  return received_stop_signal();
}

TEST_F(StopSignals, the_first_is_noted_and_kept) {
  for (const int signal : kStopSignals) {
    EXPECT_EXIT(
        {
          catch_stop_signals();
          if (received_stop_signal() != 0) std::_Exit(1);
          send(signal);
          if (wait_for_one() != signal) std::_Exit(2);
          send(SIGTERM);  // within a second: the same request
          std::this_thread::sleep_for(milliseconds(200));
          std::_Exit(received_stop_signal() == signal ? 0 : 3);
        },
        testing::ExitedWithCode(0), "");
  }
}

TEST_F(StopSignals, a_second_one_after_a_second_ends_the_process) {
  EXPECT_EXIT(
      {
        catch_stop_signals();
        send(SIGUSR1);
        wait_for_one();
        std::this_thread::sleep_for(milliseconds(1200));
        send(SIGTERM);
        std::this_thread::sleep_for(std::chrono::seconds(5));
        std::_Exit(1);
      },
      testing::KilledBySignal(SIGTERM), "");
}

TEST_F(StopSignals, none_changes_the_exit_status_of_a_process_that_is_leaving) {
  EXPECT_EXIT(
      {
        catch_stop_signals();
        send(SIGUSR1);
        if (wait_for_one() != SIGUSR1) std::_Exit(1);
        std::this_thread::sleep_for(milliseconds(1200));
        let_stop_signals_pass();
        for (const int signal : kStopSignals) send(signal);
        std::this_thread::sleep_for(milliseconds(500));
        std::_Exit(75);
      },
      testing::ExitedWithCode(75), "");
}

TEST_F(StopSignals, one_that_a_shell_let_be_ignored_is_noted) {
  EXPECT_EXIT(
      {
        std::signal(SIGINT, SIG_IGN);
        catch_stop_signals();
        send(SIGINT);
        std::_Exit(wait_for_one() == SIGINT ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(StopSignals, a_hangup_is_ignored_under_nohup) {
  EXPECT_EXIT(
      {
        std::signal(SIGHUP, SIG_IGN);
        catch_stop_signals();
        send(SIGHUP);
        std::this_thread::sleep_for(milliseconds(200));
        if (received_stop_signal() != 0) std::_Exit(1);
        send(SIGTERM);
        std::_Exit(wait_for_one() == SIGTERM ? 0 : 2);
      },
      testing::ExitedWithCode(0), "");
}

// A handler's frame would be written below the stack pointer of a thread that computes, which oneDNN lets point into
// the heap.
TEST_F(StopSignals, no_thread_that_computes_is_ever_interrupted) {
  EXPECT_EXIT(
      {
        catch_stop_signals();
        int blocked = 0;
        const auto count = [&] {
          sigset_t mask;
          pthread_sigmask(SIG_SETMASK, nullptr, &mask);
          for (const int signal : kStopSignals) blocked += sigismember(&mask, signal);
        };
        count();
        std::thread(count).join();
        std::_Exit(blocked);
      },
      testing::ExitedWithCode(2 * kStopSignals.size()), "");
}

}  // namespace
}  // namespace convoy
