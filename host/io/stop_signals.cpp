// A thread waits for the signals, and all others have them blocked: a handler would be run in the middle of oneDNN's
// generated code, which keeps its stack pointer where a handler's frame destroys the heap (seen in 2.6.3's sgemm).
#include "io/stop_signals.hpp"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace convoy {
namespace {

// A terminal's Control-C and a launcher that passes it on are one request.
constexpr std::chrono::seconds kSameRequest{1};

std::atomic<int> received = 0;
std::atomic<bool> is_leaving = false;

sigset_t caught;  // which of them

bool is_under_nohup(int signal) {
  struct sigaction action {};
  return signal == SIGHUP && ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

// As if nobody had ever waited for it.
void end_by(int signal) {
  pthread_sigmask(SIG_UNBLOCK, &caught, nullptr);
  std::raise(signal);
}

void wait_for_signals() {
  std::chrono::steady_clock::time_point first;
  for (int signal = 0; sigwait(&caught, &signal) == 0;) {
    if (is_leaving) continue;
    const auto now = std::chrono::steady_clock::now();
    if (received == 0) {
      received = signal;
      first = now;
    } else if (now - first > kSameRequest) {
      end_by(signal);
    }
  }
}

}  // namespace

const char* name_of_signal(int signal) {
  switch (signal) {
    case SIGUSR1:
      return "SIGUSR1";
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    case SIGHUP:
      return "SIGHUP";
    default:
      return "a signal";
  }
}

void catch_stop_signals() {
  sigemptyset(&caught);
  for (const int signal : kStopSignals) {
    if (is_under_nohup(signal)) continue;
    std::signal(signal, SIG_DFL);  // some shells let their background jobs ignore SIGINT
    sigaddset(&caught, signal);
  }
  pthread_sigmask(SIG_BLOCK, &caught, nullptr);  // of the threads to come too
  std::signal(SIGPIPE, SIG_IGN);
  std::thread(wait_for_signals).detach();
}

int received_stop_signal() { return received; }

void let_stop_signals_pass() { is_leaving = true; }

}  // namespace convoy
