// A job of forked processes, each with a Watchdog: what they print and learn comes back over a pipe.
// The test kills, stops and traces them as it likes; whoever is left is killed at the end.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "watchdog/watchdog.hpp"

namespace convoy::test {

struct JobOptions {
  int processes = 3;
  int ranks_per_process = 1;
  double timeout = 60, startup_timeout = 60, least_silence = 10;
};

class WatchdogJob {
 public:
  // `body` is all that process number `process` does; a process of a job that nothing ends leaves with 0.
  using Body = std::function<void(Watchdog& watchdog, int process)>;
  WatchdogJob(const JobOptions& options, const Body& body);
  WatchdogJob(const WatchdogJob&) = delete;
  WatchdogJob& operator=(const WatchdogJob&) = delete;
  ~WatchdogJob();

  const Rendezvous& rendezvous() const { return rendezvous_; }
  void signal(int process, int number) const;
  pid_t pid(int process) const { return pids_[static_cast<std::size_t>(process)]; }
  // All are connected, and have reported what their body does.
  void wait_until_running();
  // Reads what comes until a line contains `text`; the seconds that took, or more than `seconds`.
  double seconds_until(const std::string& text, double seconds);
  // Until every process has ended, at most `seconds`: exit status, the negative signal, or kStillThere.
  static constexpr int kStillThere = 1000;
  std::vector<int> exit_codes(double seconds);

  // "0 prints convoy: ..."; "2 learns died of 1".
  const std::vector<std::string>& lines() const { return lines_; }
  std::vector<std::string> printed() const;  // without the "0 prints "
  int count(const std::string& text) const;

 private:
  bool read_lines(double seconds);

  Rendezvous rendezvous_;
  std::vector<pid_t> pids_;
  int pipe_ = -1;
  std::string unread_;
  std::vector<std::string> lines_;
};

// Steps of an epoch for some seconds.
void train(RankProgress& progress, double seconds);
[[noreturn]] void hang();
void sleep_for(double seconds);

}  // namespace convoy::test
