// Non-blocking sockets; a signal never interrupts them for good, and none is raised by a closed peer.
#include "watchdog/socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

namespace convoy::watchdog {

Connection::Connection(Fd fd, std::size_t largest_frame) : fd_(std::move(fd)), largest_(largest_frame) {
  const int on = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

std::optional<Connection> Connection::to(const sockaddr_storage& address, socklen_t length) {
  Fd fd(::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return std::nullopt;
  const int result = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length);
  if (result != 0 && errno != EINPROGRESS && errno != EINTR) return std::nullopt;
  return Connection(std::move(fd));
}

bool Connection::finish_connecting() {
  int error = 0;
  socklen_t length = sizeof(error);
  is_open_ = ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
  return is_open_;
}

void Connection::send(const Message& message) {
  const std::vector<std::uint8_t> frame = encode(message);
  outbox_.insert(outbox_.end(), frame.begin(), frame.end());
  flush();
}

void Connection::flush() {
  std::size_t sent = 0;
  while (is_open_ && sent < outbox_.size()) {
    const ssize_t count = ::send(fd_.get(), outbox_.data() + sent, outbox_.size() - sent, MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      break;  // full, or broken: then receive sees it, after what came before
    }
  }
  outbox_.erase(outbox_.begin(), outbox_.begin() + static_cast<std::ptrdiff_t>(sent));
}

void Connection::receive() {
  std::array<std::uint8_t, 16384> buffer;
  while (is_open_) {
    const ssize_t count = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (count > 0) {
      inbox_.insert(inbox_.end(), buffer.begin(), buffer.begin() + count);
      if (inbox_.size() > largest_ + buffer.size()) return;  // enough for now: the messages first
    } else if (count == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
      is_open_ = false;
    } else if (errno != EINTR) {
      return;
    }
  }
}

std::optional<Message> Connection::next() {
  Decoded decoded = decode(inbox_, largest_);
  inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(decoded.size));
  if (decoded.is_broken) {
    is_open_ = false;
    inbox_.clear();
  }
  return std::move(decoded.message);
}

void Connection::end_sending() {
  flush();
  ::shutdown(fd_.get(), SHUT_WR);
}

void Connection::close() {
  is_open_ = false;
  fd_ = Fd();
}

void hang_up(std::span<Connection* const> connections, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  std::vector<Connection*> open(connections.begin(), connections.end());
  for (Connection* connection : open)
    if (!connection->has_unsent()) connection->end_sending();
  std::vector<pollfd> polls;
  while (true) {
    std::erase_if(open, [](const Connection* connection) { return !connection->is_open(); });
    const double left = std::chrono::duration<double>(end - Clock::now()).count();
    if (open.empty() || left <= 0) break;
    polls.clear();
    for (const Connection* connection : open)
      polls.push_back({connection->fd(), static_cast<short>(connection->has_unsent() ? POLLIN | POLLOUT : POLLIN), 0});
    ::poll(polls.data(), polls.size(), static_cast<int>(left * 1000) + 1);
    for (Connection* connection : open) {
      const bool had_unsent = connection->has_unsent();
      connection->flush();
      if (had_unsent && !connection->has_unsent()) connection->end_sending();
      connection->receive();
      while (connection->next()) continue;
    }
  }
  for (Connection* connection : connections) connection->close();
}

}  // namespace convoy::watchdog
