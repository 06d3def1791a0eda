// Linux: /proc/self/status, gethostname, environ and the kernel's names for its namespaces.
#include "io/host_info.hpp"

#include <fmt/chrono.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <sstream>

#include "convoy/checksum.hpp"

namespace convoy {
namespace {

// Where `link`, of /proc/self/ns, leads in this boot of the kernel.
std::uint64_t namespace_id(const char* link) {
  std::string text;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> text;
  std::array<char, 64> target{};
  if (::readlink(link, target.data(), target.size() - 1) > 0) text += target.data();
  return checksum(text.data(), text.size());
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::uint64_t network_id() { return namespace_id("/proc/self/ns/net"); }

std::uint64_t process_space_id() { return namespace_id("/proc/self/ns/pid"); }

std::uint64_t peak_host_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("VmHWM:")) continue;
    std::istringstream fields(line.substr(line.find(':') + 1));
    std::uint64_t kibibytes = 0;
    fields >> kibibytes;
    return kibibytes * 1024;
  }
  return 0;
}

std::string utc_time() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc);
}

std::vector<std::string> environment_of(std::span<const std::string_view> prefixes) {
  std::vector<std::string> found;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view entry = *each;
    if (std::ranges::any_of(prefixes, [&](std::string_view prefix) { return entry.starts_with(prefix); })) {
      found.emplace_back(entry);
    }
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace convoy
