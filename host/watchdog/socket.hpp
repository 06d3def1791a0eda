// A TCP connection that carries messages and never blocks.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "watchdog/fd.hpp"
#include "watchdog/wire.hpp"

namespace convoy::watchdog {

class Connection {
 public:
  explicit Connection(Fd fd, std::size_t largest_frame = kLargestFrame);
  // Starts to connect; the socket is writable when that is decided. Nothing where the address cannot be tried.
  static std::optional<Connection> to(const sockaddr_storage& address, socklen_t length);

  int fd() const { return fd_.get(); }
  bool is_open() const { return is_open_; }
  // Until the connection is made nothing comes in; a connection that failed is not open.
  bool finish_connecting();
  void accept_frames_up_to(std::size_t largest) { largest_ = largest; }

  void send(const Message& message);  // goes out as the socket takes it
  void flush();
  bool has_unsent() const { return !outbox_.empty(); }
  void receive();                 // what has come; at its end, or with a failure, the connection is not open
  std::optional<Message> next();  // the messages received, also after the end
  void end_sending();             // the other side reads an end after what was sent
  void close();

 private:
  Fd fd_;
  std::size_t largest_;
  bool is_open_ = true;
  std::vector<std::uint8_t> inbox_, outbox_;
};

// Lets what was sent arrive: ends sending, and reads on until the other sides have closed or the seconds are over.
// A plain close would throw away what is under way if the other side has sent something meanwhile.
void hang_up(std::span<Connection* const> connections, double seconds);

}  // namespace convoy::watchdog
