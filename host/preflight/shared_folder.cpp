// The file's name is new, so that no cache of a network file system knows it.
#include "preflight/shared_folder.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "io/host_info.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::string write_file(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  std::ofstream file(path);
  return file << "convoy preflight\n" && file.flush() ? "" : "cannot be written";
}

bool appears(const fs::path& path, double patience) {
  const auto begun = Clock::now();
  while (!fs::exists(path)) {
    if (std::chrono::duration<double>(Clock::now() - begun).count() > patience) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return true;
}

}  // namespace

Findings check_shared_folder(const fs::path& folder, Communicator& communicator, double patience) {
  const bool is_first = communicator.rank() == 0;
  const std::string first_host = communicator.gather(host_name()).front();
  const fs::path path = folder / communicator.gather(fmt::format(".preflight-{}-{}", first_host, ::getpid())).front();
  const std::string failure = communicator.gather(is_first ? write_file(path) : "").front();
  if (!failure.empty()) return {{true, fmt::format("{}: {} on {}", folder.string(), failure, first_host)}};
  const bool is_seen = is_first || appears(path, patience);
  Findings findings;
  std::string last;
  for (const std::string& host : communicator.gather(is_seen ? "" : host_name())) {
    if (host.empty() || host == last) continue;
    last = host;
    findings.push_back({true, fmt::format("{}: what {} writes there is not seen on {} within {:g} s: choose a folder "
                                          "that all hosts share",
                                          folder.string(), first_host, host, patience)});
  }
  std::error_code ignored;
  if (is_first) fs::remove(path, ignored);
  return findings;
}

}  // namespace convoy
