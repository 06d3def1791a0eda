// What a signal handler knows is global: it has no other way to say anything.
#include "io/stop_signals.hpp"

#include <atomic>
#include <cstdint>
#include <ctime>

namespace convoy {
namespace {

// A terminal's Control-C and a launcher that passes it on are one request.
constexpr std::int64_t kSameRequest = 1'000'000'000;  // ns

std::atomic<int> received = 0;
std::atomic<std::int64_t> received_at = 0;
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free);

std::int64_t now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

extern "C" void note_stop_signal(int signal) {
  int none = 0;
  if (received.compare_exchange_strong(none, signal)) {
    received_at = now();
  } else if (now() - received_at > kSameRequest) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
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
    default:
      return "a signal";
  }
}

void catch_stop_signals() {
  for (const int signal : kStopSignals) {
    struct sigaction action {};
    action.sa_handler = note_stop_signal;
    action.sa_flags = SA_RESTART;
    sigaction(signal, &action, nullptr);
  }
}

int received_stop_signal() { return received; }

}  // namespace convoy
