// Who is to blame when a job stands still: a function of what was seen of the ranks and of the time.
// Nothing here knows of sockets, threads or clocks; times are seconds of any clock that only rises.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "watchdog/progress.hpp"
#include "watchdog/verdict.hpp"

namespace convoy::watchdog {

// How long a rank may stand still, in seconds; 0: for ever.
struct Limits {
  double timeout = 60;
  double startup_timeout = 600;  // in the phases up to the first steps
  double least_silence = 10;     // that a busy network or node may keep a process's reports
};

struct WatchedRank {
  enum class Place : std::uint8_t { unknown, watched, gone };  // gone: it said goodbye
  int rank = 0;
  std::string host;
  Place place = Place::unknown;
  RankState state;
  double moved = 0;  // when its state last changed, or when it left
  double heard = 0;  // when its process last spoke
};

// A rank that waits in a collective, itself or its device, is excused as long as its process speaks: the others keep it
// waiting. So those who wait in no collective are judged, of several the ones with the lowest (device's position,
// collective, step). Where all wait and none moves, those whose device, then whose host, is in the lowest collective.
// In both cases those whose processes are silent come first; while one is that may still speak, nobody is blamed.
std::optional<Verdict> judge(std::span<const WatchedRank> ranks, const Limits& limits, double now);

// Of the ranks of one process: its connection closed without a goodbye; nothing was heard for longest_silence.
Verdict death_of(std::span<const WatchedRank> process);
Verdict silence_of(std::span<const WatchedRank> process, const Limits& limits);
Verdict failure_of(int rank, std::string_view message);

// A job as rank 0 sees it.
class Roll {
 public:
  Roll(int world_size, const Limits& limits, double now);

  void join(int first_rank, int count, const std::string& host, double now);
  void hear(int first_rank, std::span<const RankState> states, double now);
  void leave(int first_rank, int count, double now);
  void restart(double now);  // every rank's clock starts again

  // To be called every kTick or so. Where the last call was long ago the whole job may have been suspended: the time
  // between counts for nobody.
  std::optional<Verdict> tick(double now);

  std::span<const WatchedRank> ranks() const { return ranks_; }
  std::span<const WatchedRank> ranks(int first_rank, int count) const;

 private:
  std::vector<WatchedRank> ranks_;
  Limits limits_;
  double last_tick_;
};

inline constexpr double kTick = 0.25;          // seconds between two looks at the ranks, and between two reports
inline constexpr double kSuspended = 2;        // seconds; a tick that takes longer means that nothing ran meanwhile
double longest_silence(const Limits& limits);  // seconds; infinite where timeout is 0

}  // namespace convoy::watchdog
