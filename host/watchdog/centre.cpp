// Rank 0's process: lets the others in, keeps the roll, judges, and tells everyone.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "watchdog/debugger.hpp"
#include "watchdog/role.hpp"
#include "watchdog/socket.hpp"

namespace convoy::watchdog {
namespace {

constexpr double kStrangerSeconds = 5;        // to say hello
constexpr std::size_t kSpareStrangers = 512;  // beyond one connection a rank: each rank tries several ways

struct Peer {
  Connection connection;
  double since;  // it connected
  int first_rank = 0;
  int ranks = 0;  // none: a stranger that has not shown the token
  ProcessId process{};
  bool is_debugged = false;
  bool is_gone = false;  // to be dropped
};

class Centre final : public Role {
 public:
  Centre(Self& self, WatchdogListener listener, double now)
      : Role(self), listener_(std::move(listener)), started_(now), roll_(self.options.world_size, self.limits(), now) {
    roll_.join(0, self.options.ranks, self.host, now);
    if (!listener_.socket() && self.options.ranks < self.options.world_size)
      self.warn("rank 0 on " + self.host + " cannot open a port; only its own process is watched");
  }

  void add_polls(std::vector<pollfd>& polls) override {
    polls.push_back({can_accept_ ? listener_.socket().get() : -1, POLLIN, 0});  // poll leaves out -1
    for (const Peer& peer : peers_)
      polls.push_back(
          {peer.connection.fd(), static_cast<short>(peer.connection.has_unsent() ? POLLIN | POLLOUT : POLLIN), 0});
  }

  void serve(std::span<const pollfd> polls, double now) override {
    for (std::size_t i = 1; i < polls.size(); ++i)
      if (polls[i].revents != 0) serve(peers_[i - 1], now);
    std::erase_if(peers_, [](const Peer& peer) { return peer.is_gone; });
    if (polls[0].revents != 0) accept(now);
    end_when_told(now);
  }

  void tick(double now) override {
    can_accept_ = true;
    roll_.hear(0, self_.look(), now);
    std::erase_if(peers_, [&](const Peer& peer) { return peer.ranks == 0 && now - peer.since > kStrangerSeconds; });
    const std::optional<Verdict> verdict = roll_.tick(now);
    if (verdict && !verdict_) {
      if (is_job_debugged()) {
        if (!std::exchange(has_warned_, true))
          self_.warn(verdict->message + "; a debugger or profiler is at work, so the job goes on");
        roll_.restart(now);
      } else {
        conclude(*verdict);
      }
    }
    report();
    end_when_told(now);
  }

  void fail(int rank, const std::string& message, double now) override {
    conclude(failure_of(rank, message));
    end_when_told(now);
  }

  void leave() override {
    accept(monotonic_seconds());  // who is just coming need not think that nobody is here
    for (Peer& peer : peers_) peer.connection.send(Goodbye{});
    hang_up();
  }

 private:
  void accept(double now) {
    while (listener_.socket()) {
      Fd fd(::accept4(listener_.socket().get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        can_accept_ = errno == EAGAIN || errno == EWOULDBLOCK;  // no descriptors left, say: again at the next tick
        return;
      }
      const std::size_t most = kSpareStrangers + static_cast<std::size_t>(self_.options.world_size);
      if (peers_.size() < most)
        peers_.push_back({.connection = Connection(std::move(fd), kLargestHello), .since = now});
    }
  }

  void serve(Peer& peer, double now) {
    peer.connection.flush();
    peer.connection.receive();
    while (!peer.is_gone) {
      const std::optional<Message> message = peer.connection.next();
      if (!message) break;
      if (peer.ranks == 0) {
        welcome(peer, std::get_if<Hello>(&*message), now);
      } else {
        std::visit([&](const auto& value) { hear(peer, value, now); }, *message);
      }
    }
    if (peer.connection.is_open() || peer.is_gone) return;
    peer.is_gone = true;
    if (peer.ranks > 0) conclude(death_of(roll_.ranks(peer.first_rank, peer.ranks)));
  }

  // A wrong token, or ranks that cannot be or are here already: the connection closes, and the job goes on.
  void welcome(Peer& peer, const Hello* hello, double now) {
    peer.is_gone = true;
    if (hello == nullptr || hello->token != self_.rendezvous.token) return;
    const int world_size = self_.options.world_size;
    if (hello->first_rank < 0 || hello->ranks < 1 || hello->ranks > world_size - hello->first_rank) return;
    const auto ranks = roll_.ranks(hello->first_rank, hello->ranks);
    const auto is_known = [](const WatchedRank& rank) { return rank.place != WatchedRank::Place::unknown; };
    if (std::any_of(ranks.begin(), ranks.end(), is_known)) return;
    peer.is_gone = false;
    peer.first_rank = hello->first_rank;
    peer.ranks = hello->ranks;
    peer.process = hello->process;
    peer.connection.accept_frames_up_to(kLargestFrame);
    roll_.join(hello->first_rank, hello->ranks, hello->host, now);
    peer.connection.send(Welcome{.process = self_.process});
    if (deputy() == told_deputy_) {
      peer.connection.send(own_report());
    } else {
      report();  // two must not think that they speak for the job
    }
    if (verdict_) peer.connection.send(*verdict_);
  }

  void hear(Peer& peer, const Report& report, double now) {
    if (report.states.size() != static_cast<std::size_t>(peer.ranks)) return peer.connection.close();
    roll_.hear(peer.first_rank, report.states, now);
    peer.is_debugged = report.is_debugged;
  }
  void hear(Peer& peer, const Failure& failure, double) {
    if (failure.rank < peer.first_rank || failure.rank >= peer.first_rank + peer.ranks) return peer.connection.close();
    conclude(failure_of(failure.rank, failure.message));
  }
  void hear(Peer& peer, const Goodbye&, double now) {
    roll_.leave(peer.first_rank, peer.ranks, now);
    peer.is_gone = true;
    if (deputy() != told_deputy_) report();
  }
  template <typename Other>
  void hear(Peer& peer, const Other&, double) {
    peer.connection.close();  // nothing that a member says
  }

  // The first verdict stands.
  void conclude(const Verdict& verdict) {
    if (verdict_) return;
    verdict_ = verdict;
    self_.say(verdict.message);
    for (Peer& peer : peers_)
      if (peer.ranks > 0 && !peer.is_gone) peer.connection.send(verdict);
  }

  // Who has not said hello yet must hear the verdict too: a rank that fails in its first milliseconds is common.
  void end_when_told(double now) {
    if (!verdict_ || is_over_) return;
    const auto ranks = roll_.ranks();
    const bool all_came = std::none_of(
        ranks.begin(), ranks.end(), [](const WatchedRank& rank) { return rank.place == WatchedRank::Place::unknown; });
    if (all_came || !listener_.socket() || now - started_ > self_.options.connect_timeout) hang_up();
  }

  void hang_up() {
    std::vector<Connection*> connections;
    for (Peer& peer : peers_)
      if (!peer.is_gone) connections.push_back(&peer.connection);
    watchdog::hang_up(connections, kHangUp);
    is_over_ = true;
  }

  void report() {
    const Report report = own_report();
    told_deputy_ = report.deputy;
    for (Peer& peer : peers_)
      if (peer.ranks > 0 && !peer.is_gone && !peer.connection.has_unsent()) peer.connection.send(report);
  }
  Report own_report() const { return {.is_debugged = is_job_debugged(), .deputy = deputy(), .states = self_.look()}; }

  bool is_job_debugged() const {
    return self_.is_debugged() || std::any_of(peers_.begin(), peers_.end(), [&](const Peer& peer) {
             return peer.is_debugged || is_seen_traced(peer.process, self_.process);
           });
  }

  // Of another host where there is one: that may be what dies.
  int deputy() const {
    const WatchedRank* best = nullptr;
    for (const WatchedRank& rank : roll_.ranks()) {
      if (rank.place != WatchedRank::Place::watched || rank.rank < self_.options.ranks) continue;
      if (best == nullptr || (best->host == self_.host && rank.host != self_.host)) best = &rank;
    }
    return best != nullptr ? best->rank : 0;
  }

  WatchdogListener listener_;
  double started_;
  Roll roll_;
  std::vector<Peer> peers_;
  int told_deputy_ = 0;
  bool can_accept_ = true, has_warned_ = false;
};

}  // namespace

std::unique_ptr<Role> make_centre(Self& self, WatchdogListener listener, double now) {
  return std::make_unique<Centre>(self, std::move(listener), now);
}

}  // namespace convoy::watchdog
