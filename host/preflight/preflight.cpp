// Hosts first, links last: a link that hangs is named by the watchdog, with all else already printed.
#include "preflight/preflight.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "convoy/error.hpp"
#include "data/load.hpp"
#include "io/host_info.hpp"
#include "preflight/host_facts.hpp"
#include "preflight/links.hpp"
#include "preflight/shared_folder.hpp"
#include "train/devices.hpp"

namespace convoy {
namespace {

constexpr double kMostClockSkew = 2;  // seconds; files and logs of a run are compared by their times

// The lines of all workers, each once, in the order of workers.
std::vector<std::string> gather_lines(Communicator& communicator, const std::vector<std::string>& own) {
  std::vector<std::string> lines;
  std::set<std::string> seen;
  for (const std::string& text : communicator.gather(fmt::format("{}", fmt::join(own, "\n")))) {
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      if (std::string line = text.substr(begin, end - begin); seen.insert(line).second)
        lines.push_back(std::move(line));
      begin = end + 1;
    }
  }
  return lines;
}

// Of all workers, each once.
Findings gather_findings(Communicator& communicator, const Findings& own) {
  std::vector<std::string> lines;
  for (const Finding& finding : own) lines.push_back((finding.is_problem ? "!" : " ") + finding.text);
  Findings all;
  for (const std::string& line : gather_lines(communicator, lines))
    all.push_back({line.front() == '!', line.substr(1)});
  return all;
}

// By the first worker of each host.
Findings check_data(const PreflightOptions& options, Communicator& devices, bool is_first_of_host,
                    std::vector<std::string>& lines) {
  std::string found;
  if (is_first_of_host) {
    try {
      const Dataset data = load_dataset({.path = options.data, .coarse_labels = options.labels == LabelKind::coarse});
      found = fmt::format("{}, {} training and {} test images, checksum {:016x}", data.name, data.train.count(),
                          data.test.count(), data.checksum);
    } catch (const Error& error) {
      found = fmt::format("!{}", error.what());
    }
  }
  const std::vector<std::string> all = devices.gather(found), hosts = devices.gather(host_name());
  Findings findings;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].empty()) continue;
    if (all[i].front() == '!') {
      findings.push_back({true, fmt::format("data on {}: {}", hosts[i], all[i].substr(1))});
    } else if (all[i] != all.front() && all.front().front() != '!') {
      findings.push_back(
          {true, fmt::format("data on {}: {}; {} has {}", hosts[i], all[i], hosts.front(), all.front())});
    }
  }
  if (findings.empty()) lines.push_back("data: " + all.front());
  return findings;
}

Findings check_clocks(Communicator& devices) {
  timespec now{};
  devices.gather("");  // all look at about the same time
  clock_gettime(CLOCK_REALTIME, &now);
  const auto milliseconds =
      static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
  const MinMax seen = devices.min_max(milliseconds);
  const double skew = 1e-3 * static_cast<double>(seen.most - seen.least);
  if (skew <= kMostClockSkew) return {};
  return {{false, fmt::format("the hosts' clocks are {:.1f} s apart: let them follow a time server", skew)}};
}

}  // namespace

int preflight(const PreflightOptions& options, Backend& backend, Communicator& workers, Communicator& devices,
              RankProgress& progress, const std::function<void(std::string_view)>& print) {
  const auto say = [&](const std::vector<std::string>& lines) {
    if (devices.rank() == 0) std::ranges::for_each(lines, print);
  };
  Findings findings;
  const auto add = [&](const Findings& more) { findings.insert(findings.end(), more.begin(), more.end()); };

  const HostFacts facts = host_facts();
  const std::unique_ptr<Communicator> host = workers.split_by_host();
  const std::vector<std::string> hosts = devices.gather(facts.host);
  say({fmt::format("{} worker{} on {} host{}, averaging by {}", devices.size(), devices.size() == 1 ? "" : "s",
                   std::set<std::string>(hosts.begin(), hosts.end()).size(), host->size() == devices.size() ? "" : "s",
                   devices.kind())});
  say(devices.gather(fmt::format("  worker {:>3}  {:<20}  {}", devices.rank(), facts.host, describe(backend.info()))));
  say(gather_lines(devices, {describe(facts)}));
  for (const std::string& line : gather_lines(devices, facts.environment)) say({"in force: " + line});
  add(gather_findings(devices, judge(facts, host->size(), devices.kind() == "nccl", host->size() < devices.size())));
  add(check_clocks(devices));

  progress.enter(Phase::reading_data);
  std::vector<std::string> lines;
  if (!options.data.empty()) add(check_data(options, devices, host->rank() == 0, lines));
  if (!options.out.empty()) add(check_shared_folder(options.out, devices));
  say(lines);

  progress.enter(Phase::averaging);
  const LinkReport links = report(time_links(backend, devices, options.link_bytes, [&] { progress.touch(); }), hosts);
  say(links.lines);
  add(links.findings);

  int problems = 0;
  for (const Finding& finding : findings) {
    if (finding.is_problem) ++problems;
    say({fmt::format("{}: {}", finding.is_problem ? "PROBLEM" : "note", finding.text)});
  }
  say({problems == 0 ? "ready" : fmt::format("{} problem{}", problems, problems == 1 ? "" : "s")});
  progress.enter(Phase::finished);
  return problems;
}

}  // namespace convoy
