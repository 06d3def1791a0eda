// Round d connects worker w with w ^ d: each worker is in one pair, and every pair has its round.
#include "preflight/links.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <limits>
#include <memory>
#include <span>

#include "train/median.hpp"

namespace convoy {
namespace {

constexpr int kMostForAllPairs = 16;
constexpr int kRepetitions = 5;
constexpr int kSmallRepetitions = 20;
constexpr double kFarSlower = 0.5;  // of the median of its kind

// A pair's workers begin together.
void meet(Communicator& communicator) {
  std::int64_t nothing[] = {0};
  communicator.sum(std::span<std::int64_t>(nothing));
}

double seconds_of_average(Backend& backend, Communicator& pair, FloatRange range, int repetitions) {
  std::vector<double> seconds;
  for (int i = 0; i <= repetitions; ++i) {
    meet(pair);
    const auto begun = std::chrono::steady_clock::now();
    pair.average_and_join(range, 1);
    backend.wait();
    const double taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    if (i > 0) seconds.push_back(taken);  // the first one makes connections
  }
  return median(seconds);
}

std::vector<int> distances(int workers) {
  std::vector<int> found;
  const int end = static_cast<int>(std::bit_ceil(static_cast<unsigned>(workers)));
  for (int d = 1; d < end; d = workers <= kMostForAllPairs ? d + 1 : 2 * d) found.push_back(d);
  return found;
}

std::string ends_of(const Link& link, const std::vector<std::string>& hosts) {
  return fmt::format("workers {} ({}) and {} ({})", link.first, hosts[static_cast<std::size_t>(link.first)],
                     link.second, hosts[static_cast<std::size_t>(link.second)]);
}

}  // namespace

std::vector<Link> time_links(Backend& backend, Communicator& communicator, std::size_t bytes,
                             const std::function<void()>& on_round) {
  const int own = communicator.rank(), workers = communicator.size();
  const Arena arena = backend.allocate(std::max(bytes, sizeof(float)), "preflight", Communicated::yes);
  backend.zero(arena.data(), arena.bytes());
  std::vector<Link> links;
  std::vector<double> times;  // two of each link, in the place of its link; other workers' are zero
  for (const int distance : distances(workers)) {
    on_round();
    for (int first = 0; first < workers; ++first) {
      if (const int second = first ^ distance; first < second && second < workers) links.push_back({first, second});
    }
    times.resize(2 * links.size());
    const int partner = own ^ distance;
    const std::unique_ptr<Communicator> pair = communicator.split(std::min(own, partner < workers ? partner : own));
    if (pair->size() < 2) continue;
    const double smallest = seconds_of_average(backend, *pair, {arena.floats(), 1}, kSmallRepetitions);
    const double whole =
        seconds_of_average(backend, *pair, {arena.floats(), arena.bytes() / sizeof(float)}, kRepetitions);
    if (own > partner) continue;  // the first of the pair reports
    const auto place = static_cast<std::size_t>(
        std::ranges::find_if(links, [&](const Link& link) { return link.first == own && link.second == partner; }) -
        links.begin());
    times[2 * place] = whole;
    times[2 * place + 1] = smallest;
  }
  communicator.sum(std::span<double>(times));
  for (std::size_t i = 0; i < links.size(); ++i) {
    links[i].bytes_per_second = static_cast<double>(arena.bytes()) / times[2 * i];
    links[i].seconds_of_smallest = times[2 * i + 1];
  }
  return links;
}

std::vector<LinkKind> kinds_of(const std::vector<Link>& links, const std::vector<std::string>& hosts) {
  std::vector<LinkKind> kinds;
  for (const bool is_within : {true, false}) {
    LinkKind kind{.is_within_host = is_within, .links = {}};
    std::ranges::copy_if(links, std::back_inserter(kind.links), [&](const Link& link) {
      return is_within == (hosts[static_cast<std::size_t>(link.first)] == hosts[static_cast<std::size_t>(link.second)]);
    });
    if (kind.links.empty()) continue;
    std::ranges::sort(kind.links, {}, &Link::bytes_per_second);
    kinds.push_back(std::move(kind));
  }
  return kinds;
}

LinkReport report(const std::vector<Link>& links, const std::vector<std::string>& hosts) {
  LinkReport report;
  for (const LinkKind& kind : kinds_of(links, hosts)) {
    std::vector<double> latencies;
    for (const Link& link : kind.links) latencies.push_back(link.seconds_of_smallest);
    const double middle = kind.median().bytes_per_second;
    const char* where = kind.is_within_host ? "within a host" : "between hosts";
    report.lines.push_back(
        fmt::format("{} pair{} {}: {:.2f} to {:.2f} GB/s, median {:.2f}; one number {:.0f} us", kind.links.size(),
                    kind.links.size() == 1 ? "" : "s", where, 1e-9 * kind.links.front().bytes_per_second,
                    1e-9 * kind.links.back().bytes_per_second, 1e-9 * middle, 1e6 * median(latencies)));
    for (const Link& link : kind.links) {
      if (link.bytes_per_second >= kFarSlower * middle) break;
      report.findings.push_back(
          {true, fmt::format("{}: {:.2f} GB/s where others {} have {:.2f}: look at that host's "
                             "network, cables and other jobs",
                             ends_of(link, hosts), 1e-9 * link.bytes_per_second, where, 1e-9 * middle)});
    }
  }
  return report;
}

}  // namespace convoy
