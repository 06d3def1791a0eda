// getifaddrs and getaddrinfo; nothing here throws but for want of memory.
#include "watchdog/addresses.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <memory>

#include "io/host_info.hpp"

namespace convoy::watchdog {
namespace {

std::string text_of(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = address->sa_family == AF_INET
                          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr)
                          : static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
  return ::inet_ntop(address->sa_family, bytes, text.data(), text.size()) != nullptr ? text.data() : "";
}

bool is_link_local(const sockaddr* address) {  // means nothing on another machine
  return address->sa_family == AF_INET6 &&
         IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
}

void add(std::vector<Address>& addresses, const std::string& text, std::uint16_t port) {
  Address address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    address.length = sizeof(v4);
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    address.length = sizeof(v6);
  } else {
    return;
  }
  addresses.push_back(address);
}

}  // namespace

std::vector<std::string> interface_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, ::freeifaddrs);
  std::vector<std::string> addresses;
  for (const int family : {AF_INET, AF_INET6})
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
      if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != family) continue;
      if ((entry->ifa_flags & IFF_UP) == 0 || (entry->ifa_flags & IFF_LOOPBACK) != 0) continue;
      if (!is_link_local(entry->ifa_addr)) addresses.push_back(text_of(entry->ifa_addr));
    }
  return addresses;
}

std::vector<Address> addresses_to_try(const Rendezvous& rendezvous) {
  std::vector<Address> addresses;
  if (rendezvous.network == network_id()) {
    add(addresses, "127.0.0.1", rendezvous.port);
    add(addresses, "::1", rendezvous.port);
  }
  // An address that this machine has too (a container bridge's, say) leads to itself and not to rank 0's.
  const std::vector<std::string> own = interface_addresses();
  for (const std::string& text : rendezvous.addresses)
    if (std::find(own.begin(), own.end(), text) == own.end()) add(addresses, text, rendezvous.port);
  return addresses;
}

std::vector<Address> resolve(const Rendezvous& rendezvous) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (rendezvous.host.empty() || ::getaddrinfo(rendezvous.host.c_str(), nullptr, &hints, &list) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
  std::vector<Address> addresses;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next)
    if (entry->ai_family == AF_INET || entry->ai_family == AF_INET6)
      add(addresses, text_of(entry->ai_addr), rendezvous.port);
  return addresses;
}

}  // namespace convoy::watchdog
