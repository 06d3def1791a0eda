// Linux: statvfs, getrlimit, getifaddrs and /sys/class.
#include "preflight/host_facts.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>

#include "io/host_info.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMegabyte = 1'000'000;
// NCCL takes some 10 MB of /dev/shm for each pair of GPUs that it connects through it; its documentation asks for 1 GB
// in a container, whose default is 64 MB.
constexpr std::uint64_t kLeastSharedMemory = 512 * kMegabyte;
// What users set; launchers set much else under OMPI_MCA_.
constexpr std::array<std::string_view, 10> kSteering = {"NCCL_",        "OMPI_MCA_btl", "OMPI_MCA_coll", "OMPI_MCA_mtl",
                                                        "OMPI_MCA_oob", "OMPI_MCA_pml", "UCX_",          "FI_",
                                                        "OMP_",         "CUDA_VISIBLE_"};

std::optional<int> megabits_of(const std::string& interface) {
  std::ifstream file("/sys/class/net/" + interface + "/speed");
  int megabits = -1;
  if (!(file >> megabits) || megabits <= 0) return std::nullopt;
  return megabits;
}

std::vector<NetworkInterface> interfaces() {
  std::vector<NetworkInterface> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    const bool is_usable = (each->ifa_flags & IFF_UP) != 0 && (each->ifa_flags & IFF_LOOPBACK) == 0;
    if (!is_usable || each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    std::array<char, INET_ADDRSTRLEN> text{};
    const auto* address = reinterpret_cast<const sockaddr_in*>(each->ifa_addr);
    ::inet_ntop(AF_INET, &address->sin_addr, text.data(), text.size());
    found.push_back({each->ifa_name, text.data(), megabits_of(each->ifa_name)});
  }
  std::ranges::stable_sort(found, std::ranges::greater(),
                           [](const NetworkInterface& each) { return each.megabits.value_or(0); });
  return found;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

std::string text_of(const NetworkInterface& interface) {
  const std::string speed = interface.megabits ? fmt::format(", {:g} Gbit/s", 1e-3 * *interface.megabits) : "";
  return fmt::format("{} ({}{})", interface.name, interface.address, speed);
}

}  // namespace

HostFacts host_facts() {
  HostFacts facts;
  facts.host = host_name();
  struct statvfs shared {};
  if (::statvfs("/dev/shm", &shared) == 0) {
    facts.shared_memory = static_cast<std::uint64_t>(shared.f_blocks) * shared.f_frsize;
  }
  rlimit locked{};
  if (::getrlimit(RLIMIT_MEMLOCK, &locked) == 0 && locked.rlim_cur != RLIM_INFINITY) facts.lockable = locked.rlim_cur;
  facts.interfaces = interfaces();
  facts.infiniband = names_in("/sys/class/infiniband");
  facts.environment = environment_of(kSteering);
  return facts;
}

std::string describe(const HostFacts& facts) {
  std::vector<std::string> networks;
  for (const NetworkInterface& interface : facts.interfaces) networks.push_back(text_of(interface));
  for (const std::string& device : facts.infiniband) networks.push_back(device + " (InfiniBand or RoCE)");
  return fmt::format("{}: /dev/shm {:.1f} GB; network {}", facts.host, 1e-9 * static_cast<double>(facts.shared_memory),
                     networks.empty() ? "none" : fmt::format("{}", fmt::join(networks, ", ")));
}

Findings judge(const HostFacts& facts, int workers, bool has_nccl, bool has_other_hosts) {
  Findings findings;
  if (workers > 1 && facts.shared_memory < kLeastSharedMemory) {
    findings.push_back(
        {has_nccl, fmt::format("{}: /dev/shm has {} MB, NCCL and MPI connect {} workers through it: give "
                               "a container --shm-size=1g, or remount it larger",
                               facts.host, facts.shared_memory / kMegabyte, workers)});
  }
  if (!has_other_hosts) return findings;
  if (!facts.infiniband.empty() && facts.lockable < 64 * 1024 * kMegabyte) {
    findings.push_back({true, fmt::format("{}: only {} MB may be locked in memory, which InfiniBand needs: ulimit -l "
                                          "unlimited, in Slurm PropagateResourceLimitsExcept=MEMLOCK",
                                          facts.host, facts.lockable / kMegabyte)});
  }
  if (facts.interfaces.empty() && facts.infiniband.empty()) {
    findings.push_back({true, fmt::format("{}: no network interface is up", facts.host)});
  }
  const bool is_chosen = std::ranges::any_of(facts.environment, [&](std::string_view entry) {
    return entry.starts_with(has_nccl ? "NCCL_SOCKET_IFNAME=" : "OMPI_MCA_btl_tcp_if_include=");
  });
  if (facts.interfaces.size() > 1 && facts.infiniband.empty() && !is_chosen) {
    findings.push_back(
        {false, fmt::format("{}: several networks, and nothing says which to use; where the links below are slow or "
                            "hang, try {}={}",
                            facts.host, has_nccl ? "NCCL_SOCKET_IFNAME" : "OMPI_MCA_btl_tcp_if_include",
                            facts.interfaces.front().name)});
  }
  return findings;
}

}  // namespace convoy
