// What the watchdog's thread does in a process: rank 0's judges (Centre), the others report to it (Member).
// Only that thread calls a role; nothing in it blocks but for hanging up and resolving a name.
#pragma once

#include <poll.h>

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "watchdog/judge.hpp"
#include "watchdog/watchdog.hpp"
#include "watchdog/wire.hpp"

namespace convoy::watchdog {

double monotonic_seconds();

// What both roles know of their process.
struct Self {
  Self(WatchdogOptions given, Rendezvous meeting);

  std::vector<RankState> look() const;
  bool is_debugged() const;
  Limits limits() const { return {options.timeout, options.startup_timeout, options.least_silence}; }
  void say(const std::string& text) const {
    if (!is_abandoned) options.print("convoy: " + text);
  }
  void warn(const std::string& text) const { say("warning: " + text); }

  WatchdogOptions options;
  Rendezvous rendezvous;
  std::vector<RankProgress> progress;  // of options.first_rank and those behind it
  std::string host;
  ProcessId process;
  bool has_profiler;
  std::atomic<bool> is_abandoned{false};  // the callbacks may be gone
};

class Role {
 public:
  explicit Role(Self& self) : self_(self) {}
  Role(const Role&) = delete;
  Role& operator=(const Role&) = delete;
  virtual ~Role() = default;

  virtual void add_polls(std::vector<pollfd>& polls) = 0;
  virtual void serve(std::span<const pollfd> polls, double now) = 0;  // what add_polls added, after the poll
  virtual void tick(double now) = 0;                                  // every kTick seconds, the first at once
  virtual void fail(int rank, const std::string& message, double now) = 0;
  virtual void leave() = 0;

  // Nothing more to do; with a verdict: the job ends.
  bool is_over() const { return is_over_; }
  const std::optional<Verdict>& verdict() const { return verdict_; }

 protected:
  Self& self_;
  bool is_over_ = false;
  std::optional<Verdict> verdict_;
};

std::unique_ptr<Role> make_centre(Self& self, WatchdogListener listener, double now);
std::unique_ptr<Role> make_member(Self& self, double now);

inline constexpr double kHangUp = 0.5;  // seconds for last words to arrive

// A process of this machine that a debugger holds cannot say so itself.
bool is_seen_traced(const ProcessId& process, const ProcessId& self);

}  // namespace convoy::watchdog
