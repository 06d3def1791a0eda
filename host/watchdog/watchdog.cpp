// The thread, and the mailbox between it and the callers.
#include "watchdog/watchdog.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "io/host_info.hpp"
#include "watchdog/debugger.hpp"
#include "watchdog/role.hpp"

namespace convoy {
namespace watchdog {

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Self::Self(WatchdogOptions given, Rendezvous meeting)
    : options(std::move(given)),
      rendezvous(std::move(meeting)),
      progress(static_cast<std::size_t>(options.ranks)),
      host(host_name()),
      process{.space = process_space_id(), .pid = ::getpid()},
      has_profiler(is_profiled()) {
  options.world_size = std::max(options.world_size, options.first_rank + options.ranks);
}

std::vector<RankState> Self::look() const {
  std::vector<RankState> states;
  for (const RankProgress& rank : progress) states.push_back(rank.state());
  return states;
}

bool Self::is_debugged() const { return has_profiler || is_traced(0); }

bool is_seen_traced(const ProcessId& process, const ProcessId& self) {
  return process.pid != 0 && process.space == self.space && is_traced(process.pid);
}

}  // namespace watchdog

namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 1s;  // of finish and of the destructor

// Signals are the program's: its handlers run on its own threads.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

void leave_at_once(const Verdict&) { ::_exit(1); }

void print_to_stderr(const std::string& line) {
  const std::string whole = line + "\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, whole.data(), whole.size());
}

struct Watchdog::State {
  State(WatchdogOptions options, const Rendezvous& rendezvous)
      : self(std::move(options), rendezvous), wake(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

  void run(WatchdogListener listener);
  void watch(watchdog::Role& role);
  bool obey(watchdog::Role& role, double now);  // what the callers want; false: away with it all
  void end();
  void ring() const { ::eventfd_write(wake.get(), 1); }

  watchdog::Self self;
  watchdog::Fd wake;

  std::mutex mutex;  // of what follows
  std::condition_variable ended;
  std::optional<watchdog::Failure> failure;
  bool is_finishing = false, has_ended = false;
  std::optional<Verdict> verdict;
};

void Watchdog::State::run(WatchdogListener listener) {
  std::unique_ptr<watchdog::Role> role;
  try {
    const double now = watchdog::monotonic_seconds();
    role = self.options.first_rank == 0 ? watchdog::make_centre(self, std::move(listener), now)
                                        : watchdog::make_member(self, now);
    watch(*role);
    const std::lock_guard lock(mutex);
    verdict = role->verdict();
  } catch (const std::exception& error) {
    self.warn(std::string("the watchdog gives up (") + error.what() + "); the run goes on");
    if (role) role->leave();  // else the others would take this process for dead
  }
  role.reset();
  if (verdict && !self.is_abandoned) self.options.on_verdict(*verdict);  // only this thread has written it
  end();
}

void Watchdog::State::watch(watchdog::Role& role) {
  std::vector<pollfd> polls;
  double next_tick = watchdog::monotonic_seconds();
  while (!role.is_over()) {
    polls.assign({{wake.get(), POLLIN, 0}});
    role.add_polls(polls);
    const double wait = next_tick - watchdog::monotonic_seconds();
    ::poll(polls.data(), polls.size(), static_cast<int>(std::ceil(std::max(wait, 0.0) * 1000)));
    const double now = watchdog::monotonic_seconds();
    role.serve(std::span(polls).subspan(1), now);
    if (now >= next_tick && !role.is_over()) {
      role.tick(now);
      next_tick = now + watchdog::kTick;
    }
    if (!role.is_over() && !obey(role, now)) return;
  }
}

bool Watchdog::State::obey(watchdog::Role& role, double now) {
  eventfd_t count = 0;
  ::eventfd_read(wake.get(), &count);
  std::unique_lock lock(mutex);
  const auto failed = std::exchange(failure, std::nullopt);
  const bool is_last = is_finishing;
  if (self.is_abandoned) return false;
  lock.unlock();
  if (failed) role.fail(failed->rank, failed->message, now);
  if (is_last && !role.is_over()) role.leave();
  return true;
}

void Watchdog::State::end() {
  const std::lock_guard lock(mutex);
  has_ended = true;
  ended.notify_all();
}

Watchdog::Watchdog(WatchdogOptions options, const Rendezvous& rendezvous, WatchdogListener listener)
    : state_(std::make_shared<State>(std::move(options), rendezvous)) {
  const BlockedSignals blocked;
  try {
    thread_ = std::thread([state = state_, own = std::move(listener)]() mutable { state->run(std::move(own)); });
  } catch (const std::system_error& error) {
    state_->self.warn(std::string("no thread for the watchdog (") + error.what() + "); the run goes on without it");
    state_->end();
  }
}

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  std::unique_lock lock(state_->mutex);
  state_->self.is_abandoned = true;
  state_->ring();
  // In its own callback, or while a name is looked up, the thread is left to end by itself.
  const bool is_own_thread = thread_.get_id() == std::this_thread::get_id();
  const bool has_ended = !is_own_thread && state_->ended.wait_for(lock, kPatience, [&] { return state_->has_ended; });
  lock.unlock();
  has_ended ? thread_.join() : thread_.detach();
}

RankProgress& Watchdog::progress(int rank) {
  return state_->self.progress.at(static_cast<std::size_t>(rank - state_->self.options.first_rank));
}

bool Watchdog::fail(int rank, std::string_view message) {
  std::unique_lock lock(state_->mutex);
  if (!state_->failure) state_->failure = watchdog::Failure{.rank = rank, .message = std::string(message)};
  state_->ring();
  const std::chrono::duration<double> patience(state_->self.options.connect_timeout + 2);
  state_->ended.wait_for(lock, patience, [&] { return state_->has_ended; });
  return state_->verdict.has_value();
}

void Watchdog::finish() {
  std::unique_lock lock(state_->mutex);
  state_->is_finishing = true;
  state_->ring();
  state_->ended.wait_for(lock, kPatience, [&] { return state_->has_ended; });
}

}  // namespace convoy
