// fork, a pipe, and waitpid.
#include "support/watchdog_job.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

#include "watchdog/judge.hpp"

namespace convoy::test {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

const char* name_of(Verdict::Kind kind) {
  constexpr std::array kNames{"stuck", "died", "silent", "failed"};
  return kNames.at(static_cast<std::size_t>(kind));
}

void say(int pipe, const std::string& line) {
  const std::string whole = line + "\n";
  if (::write(pipe, whole.data(), whole.size()) < 0) ::_exit(99);
}

[[noreturn]] void run_process(int process, const JobOptions& options, const Rendezvous::Bytes& bytes,
                              WatchdogListener listener, int pipe, const WatchdogJob::Body& body) {
  WatchdogOptions own{.first_rank = process * options.ranks_per_process,
                      .ranks = options.ranks_per_process,
                      .world_size = options.processes * options.ranks_per_process,
                      .timeout = options.timeout,
                      .startup_timeout = options.startup_timeout,
                      .least_silence = options.least_silence};
  own.print = [=](const std::string& line) { say(pipe, fmt::format("{} prints {}", process, line)); };
  own.on_verdict = [=](const Verdict& verdict) {
    say(pipe, fmt::format("{} learns {} of {}", process, name_of(verdict.kind), verdict.rank));
    leave_at_once(verdict);
  };
  {
    Watchdog watchdog(std::move(own), Rendezvous::from_bytes(bytes), std::move(listener));
    say(pipe, fmt::format("{} runs", process));
    body(watchdog, process);
  }
  ::_exit(0);
}

}  // namespace

WatchdogJob::WatchdogJob(const JobOptions& options, const Body& body) {
  WatchdogListener listener = WatchdogListener::open();
  rendezvous_ = listener.rendezvous();
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  pipe_ = ends[0];
  for (int process = 0; process < options.processes; ++process) {
    const pid_t pid = ::fork();
    if (pid < 0) throw std::runtime_error("no process");
    if (pid == 0) {
      ::close(ends[0]);
      WatchdogListener own = std::move(listener);
      if (process > 0) own = WatchdogListener();
      run_process(process, options, rendezvous_.to_bytes(), std::move(own), ends[1], body);
    }
    pids_.push_back(pid);
  }
  ::close(ends[1]);
}

WatchdogJob::~WatchdogJob() {
  for (const pid_t pid : pids_)
    if (pid > 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  ::close(pipe_);
}

void WatchdogJob::signal(int process, int number) const { ::kill(pid(process), number); }

void WatchdogJob::wait_until_running() {
  for (std::size_t process = 0; process < pids_.size(); ++process)
    if (count(fmt::format("{} runs", process)) == 0) seconds_until(fmt::format("{} runs", process), 10);
  sleep_for(2 * watchdog::kTick);  // until a report has told what the body does
}

bool WatchdogJob::read_lines(double seconds) {
  pollfd poll{.fd = pipe_, .events = POLLIN, .revents = 0};
  if (::poll(&poll, 1, std::max(static_cast<int>(seconds * 1000), 0)) <= 0) return true;
  std::array<char, 4096> buffer;
  const ssize_t count = ::read(pipe_, buffer.data(), buffer.size());
  if (count <= 0) return false;
  unread_.append(buffer.data(), static_cast<std::size_t>(count));
  for (std::size_t end = unread_.find('\n'); end != std::string::npos; end = unread_.find('\n')) {
    lines_.push_back(unread_.substr(0, end));
    unread_.erase(0, end + 1);
  }
  return true;
}

double WatchdogJob::seconds_until(const std::string& text, double seconds) {
  const Clock::time_point start = Clock::now();
  std::size_t seen = lines_.size();
  for (double left = seconds; left > 0; left = seconds - seconds_since(start)) {
    const bool is_open = read_lines(left);
    for (; seen < lines_.size(); ++seen)
      if (lines_[seen].find(text) != std::string::npos) return seconds_since(start);
    if (!is_open) break;
  }
  return seconds + 1;
}

std::vector<int> WatchdogJob::exit_codes(double seconds) {
  const Clock::time_point start = Clock::now();
  std::vector<int> codes(pids_.size(), kStillThere);
  const auto all_ended = [&] { return std::find(codes.begin(), codes.end(), kStillThere) == codes.end(); };
  while (!all_ended() && seconds_since(start) < seconds) {
    read_lines(0.01);
    for (std::size_t i = 0; i < pids_.size(); ++i) {
      int status = 0;
      if (pids_[i] <= 0 || ::waitpid(pids_[i], &status, WNOHANG) != pids_[i]) continue;
      if (!WIFEXITED(status) && !WIFSIGNALED(status)) continue;  // a stop that a tracer sees
      codes[i] = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      pids_[i] = 0;
    }
    sleep_for(0.005);  // a pipe without writers is always ready
  }
  while (all_ended() && read_lines(0.01)) continue;
  return codes;
}

std::vector<std::string> WatchdogJob::printed() const {
  constexpr std::string_view kPrints = " prints ";
  std::vector<std::string> texts;
  for (const std::string& line : lines_)
    if (const std::size_t at = line.find(kPrints); at != std::string::npos)
      texts.push_back(line.substr(at + kPrints.size()));
  return texts;
}

int WatchdogJob::count(const std::string& text) const {
  return static_cast<int>(std::count_if(lines_.begin(), lines_.end(),
                                        [&](const std::string& line) { return line.find(text) != std::string::npos; }));
}

void sleep_for(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

void train(RankProgress& progress, double seconds) {
  const Clock::time_point start = Clock::now();
  progress.enter(Phase::training);
  for (std::int64_t step = 0; seconds_since(start) < seconds; ++step) {
    progress.at_step(1, step);
    sleep_for(0.01);
  }
}

void hang() {
  while (true) sleep_for(1);
}

}  // namespace convoy::test
