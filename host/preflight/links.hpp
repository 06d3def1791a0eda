// How fast pairs of workers reach each other, by the very calls that average weights.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "preflight/finding.hpp"

namespace convoy {

struct Link {
  int first = 0, second = 0;       // workers, first < second
  double bytes_per_second = 0;     // each way: bus bandwidth, as nccl-tests calls it
  double seconds_of_smallest = 0;  // an all-reduce of one number
};

// All workers call it, with the same bytes. Up to 16 workers every pair is timed, beyond that those whose numbers
// differ in one bit: some four for each worker. Pairs that do not share a worker are timed at the same time. `on_round`
// is called before each round, for whoever watches the progress. Every worker gets all links.
std::vector<Link> time_links(Backend& backend, Communicator& communicator, std::size_t bytes,
                             const std::function<void()>& on_round);

// The links within hosts, or those between hosts.
struct LinkKind {
  bool is_within_host = true;
  std::vector<Link> links;  // rising by bandwidth, at least one
  const Link& median() const { return links[links.size() / 2]; }
};
// Those kinds that there are, within hosts first. hosts: of every worker.
std::vector<LinkKind> kinds_of(const std::vector<Link>& links, const std::vector<std::string>& hosts);

// The range of each kind of link, one line each, and those that are far slower than others of their kind.
struct LinkReport {
  std::vector<std::string> lines;
  Findings findings;
};
LinkReport report(const std::vector<Link>& links, const std::vector<std::string>& hosts);

}  // namespace convoy
