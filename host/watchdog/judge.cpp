// The rules, and the sentences that they end in.
#include "watchdog/judge.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <tuple>

namespace convoy {

const char* name_of(Phase phase) {
  constexpr std::array kNames{"starting",  "reading data", "planning", "first steps", "training",
                              "averaging", "evaluating",   "writing",  "finished"};
  return kNames.at(static_cast<std::size_t>(phase));
}

}  // namespace convoy

namespace convoy::watchdog {
namespace {

using Ranks = std::vector<const WatchedRank*>;

constexpr double kForEver = std::numeric_limits<double>::infinity();
constexpr double kQuiet = 2;  // seconds without a report that are worth a word
// Who stops because of another one without saying that it waits may be seen to stop first, by about a report.
constexpr double kSameTime = 1;
constexpr std::size_t kNamesShown = 8;
constexpr const char* kEndless = "one collective, which does not end (convoy preflight tests the links between them)";

double or_for_ever(double limit) { return limit > 0 ? limit : kForEver; }

bool is_startup(Phase phase) { return phase <= Phase::first_steps; }

double limit_of(const WatchedRank& rank, const Limits& limits) {
  return or_for_ever(is_startup(rank.state.phase) ? limits.startup_timeout : limits.timeout);
}

bool is_quiet(const WatchedRank& rank, const Limits& limits, double now) {
  const double limit = std::min(limit_of(rank, limits), or_for_ever(limits.timeout));
  return now - rank.heard > std::max(2 * kTick, std::min(kQuiet, limit / 2));  // one report may be late
}

// "training, epoch 1, step 340"; "collective 341, epoch 1, step 340"
std::string doing(const RankState& state) {
  std::string text = state.is_in_collective           ? fmt::format("collective {}", state.collective)
                     : state.phase == Phase::finished ? "finishing"
                                                      : name_of(state.phase);
  const bool has_steps = !is_startup(state.phase) && state.phase != Phase::finished;
  if (has_steps || state.step > 0) text += fmt::format(", epoch {}, step {}", state.epoch, state.step);
  return text;
}

// "rank 2 on node7"; "ranks 2, 3 on node7 and 6 on node9"
std::string names(const Ranks& ranks) {
  const std::size_t shown = std::min(ranks.size(), kNamesShown);
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < shown; ++i) {
    const bool is_last_of_host = i + 1 == shown || ranks[i + 1]->host != ranks[i]->host;
    text += fmt::format("{}", ranks[i]->rank);
    if (is_last_of_host && !ranks[i]->host.empty()) text += " on " + ranks[i]->host;
    if (i + 1 < shown) text += is_last_of_host ? " and " : ", ";
  }
  if (shown < ranks.size()) text += fmt::format(" and {} more", ranks.size() - shown);
  return text;
}

// " (the others wait in collective 341)"; " (the devices of the others wait for it in a collective)"
std::string waiting(const Ranks& active, const Ranks& blamed) {
  std::uint64_t collective = 0;
  std::size_t count = 0, devices = 0;
  for (const WatchedRank* rank : active) {
    if (std::find(blamed.begin(), blamed.end(), rank) != blamed.end()) continue;
    if (rank->state.is_device_waiting()) ++devices;
    if (!rank->state.is_in_collective) continue;
    collective = std::max(collective, rank->state.collective);
    ++count;
  }
  const std::size_t rest = active.size() - blamed.size();
  if (devices > 0) {
    const std::string whose = devices == rest && rest > 1 ? "the devices of the others wait"
                              : devices == 1              ? "the device of another one waits"
                                                          : fmt::format("the devices of {} ranks wait", devices);
    return fmt::format(" ({} for {} in a collective)", whose, blamed.size() == 1 ? "it" : "them");
  }
  if (count == 0) return "";
  const bool is_rest = count == rest && count > 1;
  const std::string who = is_rest      ? "the others wait"
                          : count == 1 ? "another one waits"
                                       : fmt::format("{} ranks wait", count);
  return fmt::format(" ({} in collective {})", who, collective);
}

Verdict stuck(const Ranks& active, const Ranks& blamed, const Limits& limits, double now) {
  const WatchedRank& first = *blamed.front();
  const double limit = limit_of(first, limits);
  const bool all_quiet =
      std::all_of(blamed.begin(), blamed.end(), [&](const WatchedRank* rank) { return is_quiet(*rank, limits, now); });
  const std::string what = doing(first.state) + (all_quiet ? ", and its process is silent" : "");
  if (blamed.size() == active.size() && blamed.size() > 1) {
    std::string where = "all are in " + what;
    if (first.state.is_device_waiting())
      where = fmt::format("the devices of all are in {}; {} is in {}", kEndless, names({&first}), what);
    return {.kind = Verdict::Kind::stuck,
            .rank = first.rank,
            .message = fmt::format("no rank has moved for {:g} s: {}", limit, where)};
  }
  return {.kind = Verdict::Kind::stuck,
          .rank = first.rank,
          .message = fmt::format("{} {} not moved for {:g} s: {}{}", names(blamed), blamed.size() == 1 ? "has" : "have",
                                 limit, what, waiting(active, blamed))};
}

// Those of `ranks` with the lowest `key`.
template <typename Key>
Ranks lowest(const Ranks& ranks, Key key) {
  Ranks result;
  for (const WatchedRank* rank : ranks) {
    if (!result.empty() && key(*rank) > key(*result.front())) continue;
    if (!result.empty() && key(*rank) < key(*result.front())) result.clear();
    result.push_back(rank);
  }
  return result;
}

// Those whose processes are silent too, where there are any: the others stand still because of them, though they may
// not say so, as a thread that waits for its device does not.
Ranks silent_or_all(const Ranks& ranks, const Limits& limits, double now) {
  Ranks silent;
  std::copy_if(ranks.begin(), ranks.end(), std::back_inserter(silent),
               [&](const WatchedRank* rank) { return is_quiet(*rank, limits, now); });
  return silent.empty() ? ranks : silent;
}

// Somebody who waits for nobody stands still.
std::optional<Verdict> judge_workers(const Ranks& active, const Limits& limits, double now) {
  // A waiting rank does not move, but its process speaks; one that is stopped does neither.
  const auto idle = [&](const WatchedRank& rank) { return now - (rank.state.is_waiting() ? rank.heard : rank.moved); };
  const auto is_over = [&](const WatchedRank* rank) { return idle(*rank) >= limit_of(*rank, limits); };
  if (std::none_of(active.begin(), active.end(), is_over)) return std::nullopt;
  Ranks candidates;
  for (const WatchedRank* rank : active) {
    const double limit = limit_of(*rank, limits);
    if (idle(*rank) >= limit - std::min(kSameTime, limit / 4)) {
      candidates.push_back(rank);
    } else if (is_quiet(*rank, limits, now)) {
      return std::nullopt;  // the others may stand still because of it: it is to speak, or to be silent for its time
    }
  }
  const Ranks blamed = lowest(silent_or_all(candidates, limits, now), [](const WatchedRank& rank) {
    return std::tuple(rank.state.device_position, rank.state.collective, rank.state.step);
  });
  return stuck(active, blamed, limits, now);
}

// Everybody waits for everybody: collectives that do not match, or a network that does not carry them. Counted from
// when any rank last moved: what the last one to come, or to leave, has set free needs a moment to be seen.
std::optional<Verdict> judge_waiters(std::span<const WatchedRank> ranks, const Ranks& active, const Limits& limits,
                                     double now) {
  double moved = -kForEver;
  bool has_unknown = false;
  for (const WatchedRank& rank : ranks) {
    has_unknown |= rank.place == WatchedRank::Place::unknown;
    if (rank.place != WatchedRank::Place::unknown) moved = std::max(moved, rank.moved);
  }
  for (const WatchedRank* rank : active) {
    double limit = limit_of(*rank, limits);
    // They may wait for a rank that cannot be seen, and that may still be starting.
    if (has_unknown) limit = std::max({limit, or_for_ever(limits.timeout), or_for_ever(limits.startup_timeout)});
    if (!rank->state.is_waiting() || now - moved < limit) return std::nullopt;
  }
  if (active.empty()) return std::nullopt;
  // Where a device waits, the collective that its host has come to says nothing: work is handed out ahead.
  const Ranks blamed = lowest(silent_or_all(active, limits, now), [](const WatchedRank& rank) {
    const RankState& state = rank.state;
    return std::tuple(state.device_position, state.is_device_waiting() ? 0 : state.collective);
  });
  Verdict verdict = stuck(active, blamed, limits, now);
  if (has_unknown) verdict.message += "; not every rank could be watched";
  return verdict;
}

Verdict silent(const Ranks& blamed, const Limits& limits) {
  return {
      .kind = Verdict::Kind::silent,
      .rank = blamed.front()->rank,
      .message = fmt::format("{} {} silent for {:g} s, last in {}", names(blamed), blamed.size() == 1 ? "is" : "are",
                             longest_silence(limits), doing(blamed.front()->state))};
}

Ranks pointers(std::span<const WatchedRank> process) {
  Ranks ranks;
  for (const WatchedRank& rank : process) ranks.push_back(&rank);
  return ranks;
}

std::optional<Verdict> judge_silence(std::span<const WatchedRank> ranks, const Limits& limits, double now) {
  Ranks blamed;
  for (const WatchedRank& rank : ranks)
    if (rank.place == WatchedRank::Place::watched && now - rank.heard >= longest_silence(limits))
      blamed.push_back(&rank);
  if (blamed.empty()) return std::nullopt;
  return silent(blamed, limits);
}

}  // namespace

double longest_silence(const Limits& limits) {
  return limits.timeout > 0 ? std::max(limits.least_silence, limits.timeout) : kForEver;
}

std::optional<Verdict> judge(std::span<const WatchedRank> ranks, const Limits& limits, double now) {
  Ranks active;
  for (const WatchedRank& rank : ranks)
    if (rank.place == WatchedRank::Place::watched && rank.state.phase != Phase::finished) active.push_back(&rank);
  if (auto verdict = judge_workers(active, limits, now)) return verdict;
  if (auto verdict = judge_waiters(ranks, active, limits, now)) return verdict;
  return judge_silence(ranks, limits, now);
}

Verdict death_of(std::span<const WatchedRank> process) {
  return {.kind = Verdict::Kind::died,
          .rank = process.front().rank,
          .message = fmt::format("{} died in {}", names(pointers(process)), doing(process.front().state))};
}

Verdict silence_of(std::span<const WatchedRank> process, const Limits& limits) {
  return silent(pointers(process), limits);
}

Verdict failure_of(int rank, std::string_view message) {
  return {.kind = Verdict::Kind::failed, .rank = rank, .message = fmt::format("rank {}: {}", rank, message)};
}

Roll::Roll(int world_size, const Limits& limits, double now) : limits_(limits), last_tick_(now) {
  ranks_.resize(static_cast<std::size_t>(world_size));
  for (int rank = 0; rank < world_size; ++rank) ranks_[static_cast<std::size_t>(rank)].rank = rank;
}

std::span<const WatchedRank> Roll::ranks(int first_rank, int count) const {
  return std::span(ranks_).subspan(static_cast<std::size_t>(first_rank), static_cast<std::size_t>(count));
}

void Roll::join(int first_rank, int count, const std::string& host, double now) {
  for (int rank = first_rank; rank < first_rank + count; ++rank)
    ranks_[static_cast<std::size_t>(rank)] = {
        .rank = rank, .host = host, .place = WatchedRank::Place::watched, .state = {}, .moved = now, .heard = now};
}

void Roll::hear(int first_rank, std::span<const RankState> states, double now) {
  for (std::size_t i = 0; i < states.size(); ++i) {
    WatchedRank& rank = ranks_[static_cast<std::size_t>(first_rank) + i];
    const double silence = is_quiet(rank, limits_, now) ? now - rank.heard : 0;
    rank.heard = now;
    if (rank.state == states[i]) {
      rank.moved += silence;  // it may have been stopped, and has had no time to move since
      continue;
    }
    rank.state = states[i];
    rank.moved = now;
  }
}

void Roll::leave(int first_rank, int count, double now) {
  for (int rank = first_rank; rank < first_rank + count; ++rank) {
    ranks_[static_cast<std::size_t>(rank)].place = WatchedRank::Place::gone;
    ranks_[static_cast<std::size_t>(rank)].moved = now;
  }
}

void Roll::restart(double now) {
  for (WatchedRank& rank : ranks_) rank.moved = rank.heard = now;
}

std::optional<Verdict> Roll::tick(double now) {
  if (now - last_tick_ > kSuspended) restart(now);
  last_tick_ = now;
  return judge(ranks_, limits_, now);
}

}  // namespace convoy::watchdog
