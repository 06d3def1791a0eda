// How a job of real processes ends: deaths, failures, goodbyes and strangers. What takes time: watchdog_time_test.cpp.
#include "watchdog/watchdog.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/host_info.hpp"
#include "support/watchdog_job.hpp"
#include "watchdog/socket.hpp"

namespace convoy {
namespace {

using test::JobOptions;
using test::WatchdogJob;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// Trains until it is ended.
void train_for_ever(Watchdog& watchdog, int process) { test::train(watchdog.progress(process), 60); }

TEST(Watchdog, a_killed_rank_is_named_at_once_with_what_it_did) {
  WatchdogJob job({}, train_for_ever);
  job.wait_until_running();
  job.signal(2, SIGKILL);
  EXPECT_LT(job.seconds_until("0 prints", 5), 1);
  EXPECT_THAT(job.exit_codes(2), ElementsAre(1, 1, -SIGKILL));
  EXPECT_THAT(job.printed(),
              ElementsAre(StartsWith("convoy: rank 2 on " + host_name() + " died in training, epoch 1, step ")));
  EXPECT_THAT(job.lines(), AllOf(Contains("0 learns died of 2"), Contains("1 learns died of 2")));
}

TEST(Watchdog, a_process_that_ends_without_a_goodbye_is_dead) {
  WatchdogJob job(
      {}, [](Watchdog& watchdog, int process) { test::train(watchdog.progress(process), process == 1 ? 0.2 : 60); });
  EXPECT_THAT(job.exit_codes(3), ElementsAre(1, 0, 1));
  EXPECT_THAT(job.printed(), ElementsAre(HasSubstr("rank 1 on ")));
}

TEST(Watchdog, the_death_of_rank_0_ends_the_others_and_one_of_them_says_so) {
  WatchdogJob job({}, train_for_ever);
  job.wait_until_running();
  job.signal(0, SIGKILL);
  EXPECT_LT(job.seconds_until("prints", 5), 1);
  EXPECT_THAT(job.exit_codes(2), ElementsAre(-SIGKILL, 1, 1));
  EXPECT_THAT(job.printed(),
              ElementsAre(StartsWith("convoy: rank 0 on " + host_name() + " died in training, epoch 1, step ")));
  EXPECT_THAT(job.lines(), AllOf(Contains("1 learns died of 0"), Contains("2 learns died of 0")));
}

TEST(Watchdog, a_rank_that_fails_ends_the_job_with_its_message_once) {
  for (const int failing : {0, 2}) {
    WatchdogJob job({}, [=](Watchdog& watchdog, int process) {
      test::train(watchdog.progress(process), process == failing ? 0.1 : 60);
      watchdog.fail(process, "loss is not finite");
      ::_exit(42);  // on_verdict has left before
    });
    EXPECT_THAT(job.exit_codes(4), ElementsAre(1, 1, 1));
    EXPECT_THAT(job.printed(), ElementsAre("convoy: rank " + std::to_string(failing) + ": loss is not finite"));
    EXPECT_EQ(job.count("learns failed of " + std::to_string(failing)), 3);
  }
}

// The others may not even have connected.
TEST(Watchdog, a_rank_that_fails_in_its_first_moment_ends_all_others) {
  for (const int failing : {0, 1}) {
    WatchdogJob job({.processes = 4}, [=](Watchdog& watchdog, int process) {
      if (process == failing) watchdog.fail(process, "no such file");
      test::hang();
    });
    EXPECT_THAT(job.exit_codes(4), ElementsAre(1, 1, 1, 1));
    EXPECT_THAT(job.printed(), ElementsAre(EndsWith(": no such file")));
  }
}

TEST(Watchdog, of_many_failing_ranks_one_is_heard) {
  WatchdogJob job({.processes = 4}, [](Watchdog& watchdog, int process) {
    test::sleep_for(0.1);
    watchdog.fail(process, "me too");
  });
  EXPECT_THAT(job.exit_codes(4), Each(1));
  EXPECT_EQ(job.printed().size(), 1u);
}

TEST(Watchdog, an_orderly_end_gives_no_verdict_whatever_the_order) {
  for (const std::array<int, 3> order : {std::array{0, 1, 2}, std::array{2, 1, 0}, std::array{1, 2, 0}}) {
    WatchdogJob job({}, [=](Watchdog& watchdog, int process) {
      test::train(watchdog.progress(process), 0.03 + 0.06 * order[static_cast<std::size_t>(process)]);
      watchdog.progress(process).enter(Phase::finished);
      watchdog.finish();
    });
    EXPECT_THAT(job.exit_codes(3), Each(0));
    EXPECT_THAT(job.printed(), IsEmpty());
    EXPECT_EQ(job.count("learns"), 0);
  }
}

TEST(Watchdog, a_rank_that_finishes_at_once_is_not_taken_for_dead) {
  WatchdogJob job({.processes = 4}, [](Watchdog& watchdog, int process) {
    if (process == 0) test::train(watchdog.progress(0), 0.2);
    watchdog.finish();
  });
  EXPECT_THAT(job.exit_codes(3), Each(0));
  EXPECT_THAT(job.printed(), IsEmpty());
}

TEST(Watchdog, ranks_of_one_process_die_together) {
  WatchdogJob job({.processes = 2, .ranks_per_process = 2}, [](Watchdog& watchdog, int process) {
    watchdog.progress(2 * process + 1).enter(Phase::evaluating);
    test::train(watchdog.progress(2 * process), 60);
  });
  job.wait_until_running();
  job.signal(1, SIGKILL);
  EXPECT_THAT(job.exit_codes(2), ElementsAre(1, -SIGKILL));
  EXPECT_THAT(job.printed(), ElementsAre(StartsWith("convoy: ranks 2, 3 on " + host_name() + " died in training")));
}

// A Watchdog of the test's own process, and what it says.
class Guarded {
 public:
  Guarded(int first_rank, int world_size, const Rendezvous& rendezvous, WatchdogListener listener = {},
          double connect_timeout = 5)
      : watchdog_({.first_rank = first_rank,
                   .world_size = world_size,
                   .connect_timeout = connect_timeout,
                   .on_verdict = [this](const Verdict& verdict) { add("learns " + verdict.message); },
                   .print = [this](const std::string& line) { add(line); }},
                  rendezvous, std::move(listener)) {}

  Watchdog& operator*() { return watchdog_; }
  Watchdog* operator->() { return &watchdog_; }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  bool says(const std::string& text) {
    const auto has_said = [&] {
      const auto all = lines();
      return std::find(all.begin(), all.end(), text) != all.end();
    };
    for (int i = 0; i < 200 && !has_said(); ++i) test::sleep_for(0.01);
    return has_said();
  }

 private:
  void add(const std::string& line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(line);
  }

  std::mutex mutex_;
  std::vector<std::string> lines_;
  Watchdog watchdog_;  // the last to come and the first to go: its thread uses the others
};

// A process that speaks the protocol as it likes.
class Visitor {
 public:
  explicit Visitor(const Rendezvous& rendezvous) {
    sockaddr_storage address{};
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4 = {.sin_family = AF_INET, .sin_port = htons(rendezvous.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    connection_ = watchdog::Connection::to(address, sizeof(v4));
    test::sleep_for(0.02);
    EXPECT_TRUE(connection_ && connection_->finish_connecting());
  }
  void say(const watchdog::Message& message) { connection_->send(message); }
  void say(std::string_view bytes) { ::send(connection_->fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // The next message of this type; nothing where the connection ends before.
  template <typename T>
  std::optional<T> hears() {
    for (int i = 0; i < 200; ++i) {
      connection_->receive();
      while (const std::optional<watchdog::Message> message = connection_->next())
        if (const T* found = std::get_if<T>(&*message)) return *found;
      if (!connection_->is_open()) break;
      test::sleep_for(0.01);
    }
    return std::nullopt;
  }
  bool is_turned_away() { return !hears<watchdog::Welcome>() && !connection_->is_open(); }

 private:
  std::optional<watchdog::Connection> connection_;
};

TEST(Watchdog, strangers_are_turned_away_and_the_job_goes_on) {
  WatchdogListener listener = WatchdogListener::open();
  const Rendezvous rendezvous = listener.rendezvous();
  Guarded job(0, 3, rendezvous, std::move(listener));
  const auto hello = [&](int first_rank, int ranks) {
    return watchdog::Hello{.token = rendezvous.token, .first_rank = first_rank, .ranks = ranks, .host = "elsewhere"};
  };
  watchdog::Hello wrong_token = hello(1, 1);
  wrong_token.token.back() ^= 1;
  const watchdog::Message wrong[] = {wrong_token,
                                     hello(0, 1),
                                     hello(-1, 2),
                                     hello(1, 3),
                                     hello(1, 0),
                                     hello(3, 1),
                                     watchdog::Failure{.rank = 1, .message = "end"},
                                     Verdict{}};
  for (const watchdog::Message& message : wrong) {
    Visitor visitor(rendezvous);
    visitor.say(message);
    EXPECT_TRUE(visitor.is_turned_away());
  }
  Visitor browser(rendezvous);
  browser.say("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(browser.is_turned_away());

  Visitor rank_1(rendezvous);
  rank_1.say(hello(1, 1));
  EXPECT_TRUE(rank_1.hears<watchdog::Welcome>());
  Visitor again(rendezvous);
  again.say(hello(1, 2));
  EXPECT_TRUE(again.is_turned_away());
  rank_1.say(watchdog::Goodbye{});
  job->finish();
  EXPECT_THAT(job.lines(), IsEmpty());
}

TEST(Watchdog, a_member_that_breaks_the_protocol_is_dead) {
  WatchdogListener listener = WatchdogListener::open();
  const Rendezvous rendezvous = listener.rendezvous();
  Guarded job(0, 2, rendezvous, std::move(listener));
  Visitor rank_1(rendezvous);
  rank_1.say(watchdog::Hello{.token = rendezvous.token, .first_rank = 1, .ranks = 1, .host = "node7"});
  EXPECT_TRUE(rank_1.hears<watchdog::Welcome>());
  rank_1.say(watchdog::Report{.states = std::vector<RankState>(2)});  // of one rank
  const auto verdict = rank_1.hears<Verdict>();
  EXPECT_FALSE(verdict);  // it is not listened to any more
  EXPECT_TRUE(job.says("convoy: rank 1 on node7 died in starting"));
}

// Rank 3 has not come yet, so rank 0 waits a moment to tell it too.
TEST(Watchdog, the_first_verdict_stands_and_latecomers_hear_it) {
  WatchdogListener listener = WatchdogListener::open();
  const Rendezvous rendezvous = listener.rendezvous();
  Guarded job(0, 4, rendezvous, std::move(listener));
  const auto hello = [&](int rank) {
    return watchdog::Hello{.token = rendezvous.token, .first_rank = rank, .ranks = 1, .host = "node7"};
  };
  {
    Visitor rank_1(rendezvous), rank_2(rendezvous), rank_3(rendezvous);
    rank_1.say(hello(1));
    rank_2.say(hello(2));
    EXPECT_TRUE(rank_2.hears<watchdog::Welcome>());
    rank_1.say(watchdog::Failure{.rank = 1, .message = "first"});
    EXPECT_EQ(rank_1.hears<Verdict>().value_or(Verdict{}).message, "rank 1: first");
    rank_2.say(watchdog::Failure{.rank = 2, .message = "second"});
    test::sleep_for(0.05);
    rank_3.say(hello(3));
    EXPECT_EQ(rank_3.hears<Verdict>().value_or(Verdict{}).message, "rank 1: first");
  }
  EXPECT_TRUE(job.says("learns rank 1: first"));
  EXPECT_THAT(job.lines(), ElementsAre("convoy: rank 1: first", "learns rank 1: first"));
}

TEST(Watchdog, where_nobody_answers_it_warns_and_goes_on) {
  Rendezvous closed = WatchdogListener::open().rendezvous();  // the listener is gone
  Guarded refused(1, 2, closed, {}, 0.4);
  EXPECT_FALSE(refused->fail(1, "nobody hears this"));
  EXPECT_THAT(refused.lines(), ElementsAre(AllOf(StartsWith("convoy: warning: rank 1 on "),
                                                 HasSubstr(" cannot reach port " + std::to_string(closed.port)))));

  WatchdogListener mute = WatchdogListener::open();  // connections are made, and nobody takes them
  Guarded ignored(1, 2, mute.rendezvous(), {}, 0.2);
  EXPECT_FALSE(ignored->fail(1, "nor this"));
  EXPECT_THAT(ignored.lines(), ElementsAre(HasSubstr("it is not watched, the run goes on")));

  Guarded without_place(1, 2, Rendezvous());
  EXPECT_FALSE(without_place->fail(1, "nor this"));
  EXPECT_THAT(without_place.lines(), IsEmpty());  // rank 0 has said it
}

TEST(Watchdog, whoever_finds_no_room_tries_again) {
  rlimit files{};  // both ends of every connection are in this process
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  WatchdogListener listener = WatchdogListener::open();
  const Rendezvous rendezvous = listener.rendezvous();
  Guarded job(0, 2, rendezvous, std::move(listener));
  std::vector<watchdog::Connection> strangers;
  sockaddr_storage address{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  v4 = {.sin_family = AF_INET, .sin_port = htons(rendezvous.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  for (int i = 0; i < 600; ++i) {
    if (auto stranger = watchdog::Connection::to(address, sizeof(v4))) strangers.push_back(std::move(*stranger));
  }
  Visitor turned_away(rendezvous);
  ASSERT_TRUE(turned_away.is_turned_away());
  Guarded member(1, 2, rendezvous);
  test::sleep_for(0.6);
  EXPECT_THAT(member.lines(), IsEmpty());
  strangers.clear();
  EXPECT_TRUE(member->fail(1, "found"));
  EXPECT_THAT(member.lines(), ElementsAre("learns rank 1: found"));
}

// As from another machine: by an address of either kind, or by what the resolver makes of the host's name.
TEST(Watchdog, every_way_leads_to_rank_0) {
  struct Way {
    std::string host;
    std::vector<std::string> addresses;
  };
  const Way ways[] = {{"", {"127.0.0.1"}}, {"", {"::1"}}, {"", {"no address", "::1", "127.0.0.1"}}, {"localhost", {}}};
  for (const Way& way : ways) {
    WatchdogListener listener = WatchdogListener::open();
    Rendezvous rendezvous = listener.rendezvous();
    Guarded job(0, 2, rendezvous, std::move(listener));
    rendezvous.network ^= 1;
    rendezvous.host = way.host;
    rendezvous.addresses = way.addresses;
    Guarded member(1, 2, rendezvous);
    EXPECT_TRUE(member->fail(1, "found"));
    EXPECT_THAT(member.lines(), ElementsAre("learns rank 1: found"));
    EXPECT_THAT(job.lines(), Contains("convoy: rank 1: found"));
  }
}

TEST(Watchdog, rank_0_without_a_port_says_so_and_goes_on) {
  Guarded job(0, 2, Rendezvous());
  job->finish();
  EXPECT_THAT(job.lines(), ElementsAre(HasSubstr("cannot open a port; only its own process is watched")));
}

TEST(Watchdog, ending_never_waits_longer_than_a_second) {
  WatchdogListener mute = WatchdogListener::open();
  const auto seconds_of = [](const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  auto unfinished = std::make_unique<Guarded>(1, 2, mute.rendezvous());
  EXPECT_LT(seconds_of([&] { unfinished.reset(); }), 1);
  Guarded finished(1, 2, mute.rendezvous());
  test::sleep_for(0.1);  // it has said hello, and gets no answer to its goodbye
  EXPECT_LT(seconds_of([&] { finished->finish(); }), 1);
  EXPECT_THAT(finished.lines(), IsEmpty());
}

TEST(Watchdog, a_process_alone_hears_its_own_failure) {
  Guarded job(0, 1, Rendezvous());
  EXPECT_TRUE(job->fail(0, "that is it"));
  EXPECT_THAT(job.lines(), ElementsAre("convoy: rank 0: that is it", "learns rank 0: that is it"));
}

}  // namespace
}  // namespace convoy
