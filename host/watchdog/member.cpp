// Every other process: finds rank 0's, reports to it, and obeys its verdict. Judges only rank 0's process itself.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "watchdog/addresses.hpp"
#include "watchdog/debugger.hpp"
#include "watchdog/role.hpp"
#include "watchdog/socket.hpp"

namespace convoy::watchdog {
namespace {

// A way to rank 0's process that has not been answered yet.
struct Candidate {
  Connection connection;
  bool has_said_hello = false;
};

class Member final : public Role {
 public:
  Member(Self& self, double now)
      : Role(self), deadline_(now + self.options.connect_timeout), heard_(now), last_tick_(now) {
    head_.push_back({.host = self.rendezvous.host});
    if (self.rendezvous.port == 0) is_over_ = true;  // rank 0 has said why
  }

  void add_polls(std::vector<pollfd>& polls) override {
    if (centre_)
      polls.push_back({centre_->fd(), static_cast<short>(centre_->has_unsent() ? POLLIN | POLLOUT : POLLIN), 0});
    for (const Candidate& way : candidates_)
      polls.push_back({way.connection.fd(), static_cast<short>(way.has_said_hello ? POLLIN : POLLOUT), 0});
  }

  void serve(std::span<const pollfd> polls, double now) override {
    if (centre_) {
      if (polls[0].revents != 0) listen(now);
      return;
    }
    for (std::size_t i = 0; i < polls.size() && !centre_ && !is_over_; ++i)
      if (polls[i].revents != 0) try_way(candidates_[i], now);
    if (centre_) {
      candidates_.clear();
      listen(now);
    }
    std::erase_if(candidates_, [](const Candidate& way) { return !way.connection.is_open(); });
  }

  void tick(double now) override {
    const bool was_suspended = now - last_tick_ > kSuspended;
    if (was_suspended) {
      heard_ = now;
      deadline_ += now - last_tick_;
    }
    if (centre_) {
      if (!centre_->has_unsent()) centre_->send(report());
      judge_head(now);
    } else {
      connect(now);
    }
    last_tick_ = monotonic_seconds();  // resolving a name is not being suspended
  }

  void fail(int rank, const std::string& message, double) override {
    failure_ = Failure{.rank = rank, .message = message};
    if (centre_) centre_->send(*failure_);
  }

  void leave() override {
    std::vector<Connection*> connections;
    if (centre_) connections.push_back(&*centre_);
    for (Candidate& way : candidates_)
      if (way.has_said_hello) connections.push_back(&way.connection);
    for (Connection* connection : connections) connection->send(Goodbye{});
    hang_up(connections, kHangUp);
    is_over_ = true;
  }

 private:
  Report report() const { return {.is_debugged = self_.is_debugged(), .states = self_.look()}; }

  // All ways at once; when they fail, or half the time is over, those that the resolver knows; and all again, since
  // rank 0's process turns away whom it has no room for.
  void connect(double now) {
    if (!std::exchange(has_tried_, true)) try_ways(addresses_to_try(self_.rendezvous));
    const bool is_late = now > deadline_ - self_.options.connect_timeout / 2;
    if ((candidates_.empty() || is_late) && !std::exchange(has_resolved_, true)) try_ways(resolve(self_.rendezvous));
    if (candidates_.empty()) try_ways(std::exchange(tried_, {}));
    if (now < deadline_) return;
    self_.warn(
        fmt::format("rank {} on {} cannot reach port {} of rank 0 on {} (a firewall?); it is not watched, the "
                    "run goes on",
                    self_.options.first_rank, self_.host, self_.rendezvous.port, self_.rendezvous.host));
    leave();  // rank 0's process may have heard the hello and be too busy to answer
  }

  void try_ways(const std::vector<Address>& addresses) {
    for (const Address& address : addresses) {
      const bool was_tried = std::any_of(tried_.begin(), tried_.end(), [&](const Address& tried) {
        return tried.length == address.length && std::memcmp(&tried.storage, &address.storage, address.length) == 0;
      });
      if (was_tried) continue;
      tried_.push_back(address);
      if (auto connection = Connection::to(address.storage, address.length))
        candidates_.push_back({.connection = std::move(*connection)});
    }
  }

  void try_way(Candidate& way, double now) {
    if (!way.has_said_hello) {
      if (!way.connection.finish_connecting()) return;
      way.has_said_hello = true;
      way.connection.send(Hello{.token = self_.rendezvous.token,
                                .first_rank = self_.options.first_rank,
                                .ranks = self_.options.ranks,
                                .host = self_.host,
                                .process = self_.process});
      return;
    }
    way.connection.receive();
    const std::optional<Message> message = way.connection.next();
    if (!message) return;
    if (const Welcome* welcome = std::get_if<Welcome>(&*message)) {
      head_process_ = welcome->process;
      heard_ = now;
      centre_.emplace(std::move(way.connection));
      if (failure_) centre_->send(*failure_);
      centre_->send(report());
    } else {
      is_over_ = std::holds_alternative<Goodbye>(*message);  // rank 0's process has finished already
      way.connection.close();                                // or it is no watchdog
    }
  }

  void listen(double now) {
    centre_->flush();
    centre_->receive();
    while (!is_over_) {
      const std::optional<Message> message = centre_->next();
      if (!message) break;
      if (const Report* report = std::get_if<Report>(&*message)) hear(*report, now);
      if (const Verdict* verdict = std::get_if<Verdict>(&*message)) end(*verdict);
      if (std::holds_alternative<Goodbye>(*message)) is_over_ = true;
    }
    if (!is_over_ && !centre_->is_open()) speak_and_end(death_of(head_));
    if (is_over_) centre_.reset();
  }

  void hear(const Report& report, double now) {
    heard_ = now;
    deputy_ = report.deputy;
    is_head_debugged_ = report.is_debugged;
    head_.clear();
    for (const RankState& state : report.states)
      head_.push_back({.rank = static_cast<int>(head_.size()), .host = self_.rendezvous.host, .state = state});
  }

  void judge_head(double now) {
    if (now - heard_ < longest_silence(self_.limits())) return;
    const Verdict verdict = silence_of(head_, self_.limits());
    if (!self_.is_debugged() && !is_head_debugged_ && !is_seen_traced(head_process_, self_.process))
      return speak_and_end(verdict);
    if (!std::exchange(has_warned_, true) && is_deputy())
      self_.warn(verdict.message + "; a debugger or profiler is at work, so the job goes on");
    heard_ = now;
  }

  bool is_deputy() const { return deputy_ == self_.options.first_rank; }

  // Every process sees this for itself; one of them prints.
  void speak_and_end(const Verdict& verdict) {
    if (is_deputy()) self_.say(verdict.message);
    end(verdict);
  }

  void end(const Verdict& verdict) {
    verdict_ = verdict;
    is_over_ = true;
  }

  std::vector<Candidate> candidates_;
  std::vector<Address> tried_;
  std::optional<Connection> centre_;
  std::optional<Failure> failure_;  // to be told
  double deadline_;                 // of connecting
  bool has_tried_ = false, has_resolved_ = false, has_warned_ = false;

  std::vector<WatchedRank> head_;  // rank 0's process, as it last reported
  ProcessId head_process_{};
  bool is_head_debugged_ = false;
  int deputy_ = 0;
  double heard_, last_tick_;
};

}  // namespace

std::unique_ptr<Role> make_member(Self& self, double now) { return std::make_unique<Member>(self, now); }

}  // namespace convoy::watchdog
