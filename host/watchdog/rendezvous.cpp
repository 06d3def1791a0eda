// The fixed-size form of a rendezvous, and the socket behind it.
#include "watchdog/rendezvous.hpp"

#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>

#include "io/host_info.hpp"
#include "watchdog/addresses.hpp"
#include "watchdog/wire.hpp"

namespace convoy {
namespace {

using watchdog::Fd;

constexpr int kBacklog = 1024;  // a job's processes all come at once

// IPv6 with IPv4 mapped into it; IPv4 alone where the machine has no IPv6.
Fd listening_socket() {
  for (const int family : {AF_INET6, AF_INET}) {
    Fd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) continue;
    const int off = 0;
    if (family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    // Zeros are any address and any port.
    sockaddr_storage any{};
    any.ss_family = static_cast<sa_family_t>(family);
    const socklen_t length = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), length) != 0) continue;
    if (::listen(fd.get(), kBacklog) == 0) return fd;
  }
  return Fd();
}

std::uint16_t port_of(const Fd& fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in&>(address).sin_port
                                            : reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
}

}  // namespace

Rendezvous::Bytes Rendezvous::to_bytes() const {
  watchdog::FieldWriter out;
  out.number(port);
  out.token(token);
  out.number(network);
  out.text(host);
  for (const std::string& address : addresses)
    if (out.bytes.size() + address.size() + 2 * sizeof(std::uint32_t) <= kBytes) out.text(address);
  Bytes bytes{};
  std::copy_n(out.bytes.begin(), std::min(out.bytes.size(), kBytes), bytes.begin());
  return bytes;
}

Rendezvous Rendezvous::from_bytes(std::span<const std::uint8_t> bytes) {
  watchdog::FieldReader in(bytes);
  Rendezvous rendezvous;
  rendezvous.port = in.number<std::uint16_t>();
  rendezvous.token = in.token();
  rendezvous.network = in.number<std::uint64_t>();
  rendezvous.host = in.text();
  for (std::string address = in.text(); !address.empty(); address = in.text()) rendezvous.addresses.push_back(address);
  return in.is_good() ? rendezvous : Rendezvous();
}

WatchdogListener WatchdogListener::open() {
  WatchdogListener listener;
  Rendezvous& rendezvous = listener.rendezvous_;
  rendezvous.host = host_name();
  rendezvous.network = network_id();
  rendezvous.addresses = watchdog::interface_addresses();
  const auto size = static_cast<ssize_t>(rendezvous.token.size());
  if (::getrandom(rendezvous.token.data(), rendezvous.token.size(), 0) != size) return listener;
  listener.socket_ = listening_socket();
  if (listener.socket_) rendezvous.port = port_of(listener.socket_);
  return listener;
}

}  // namespace convoy
