// The watchdogs' messages as bytes, whole and damaged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watchdog/rendezvous.hpp"
#include "watchdog/wire.hpp"

namespace convoy::watchdog {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const RankState kState{.phase = Phase::evaluating,
                       .epoch = 3,
                       .step = 1LL << 40,
                       .collective = 77,
                       .is_in_collective = true,
                       .ticks = ~std::uint64_t{0},
                       .device_position = (1ULL << 50) + 1};

const Message kMessages[] = {
    Hello{.token = {1, 2, 3}, .first_rank = 4, .ranks = 2, .host = "node7", .process = {.space = 9, .pid = 8}},
    Welcome{.process = {.space = 9, .pid = 8}},
    Report{.is_debugged = true, .deputy = 5, .states = {kState, RankState{}}},
    Failure{.rank = 3, .message = "loss is not finite"},
    Goodbye{},
    Verdict{.kind = Verdict::Kind::silent, .rank = 2, .message = "rank 2 is silent"},
};

template <typename T>
T decoded(const Message& message) {
  const Decoded result = decode(encode(message), kLargestFrame);
  EXPECT_FALSE(result.is_broken);
  EXPECT_EQ(result.size, encode(message).size());
  return std::get<T>(result.message.value());
}

TEST(Wire, what_is_encoded_comes_back) {
  const auto hello = decoded<Hello>(kMessages[0]);
  EXPECT_EQ(hello.token, (Token{1, 2, 3}));
  EXPECT_EQ(hello.first_rank, 4);
  EXPECT_EQ(hello.ranks, 2);
  EXPECT_EQ(hello.host, "node7");
  EXPECT_EQ(hello.process.space, 9u);
  EXPECT_EQ(hello.process.pid, 8);
  EXPECT_EQ(decoded<Welcome>(kMessages[1]).process.pid, 8);
  const auto report = decoded<Report>(kMessages[2]);
  EXPECT_TRUE(report.is_debugged);
  EXPECT_EQ(report.deputy, 5);
  EXPECT_THAT(report.states, ElementsAre(kState, RankState{}));
  EXPECT_EQ(decoded<Failure>(kMessages[3]).message, "loss is not finite");
  decoded<Goodbye>(kMessages[4]);
  const auto verdict = decoded<Verdict>(kMessages[5]);
  EXPECT_EQ(verdict.kind, Verdict::Kind::silent);
  EXPECT_EQ(verdict.rank, 2);
  EXPECT_EQ(verdict.message, "rank 2 is silent");
}

TEST(Wire, a_part_of_a_frame_waits_for_the_rest) {
  for (const Message& message : kMessages) {
    const std::vector<std::uint8_t> frame = encode(message);
    for (std::size_t size = 0; size < frame.size(); ++size) {
      const Decoded result = decode(std::span(frame).first(size), kLargestFrame);
      EXPECT_FALSE(result.message || result.is_broken || result.size > 0);
    }
  }
}

TEST(Wire, a_frame_of_another_length_than_its_fields_is_broken) {
  for (const Message& message : kMessages)
    for (const int change : {-1, 1}) {
      std::vector<std::uint8_t> frame = encode(message);
      frame[0] = static_cast<std::uint8_t>(frame[0] + change);
      frame.resize(frame.size() + 1);
      EXPECT_TRUE(decode(frame, kLargestFrame).is_broken);
    }
}

TEST(Wire, what_is_no_message_is_broken) {
  const auto is_broken = [](std::vector<std::uint8_t> bytes) { return decode(bytes, kLargestHello).is_broken; };
  EXPECT_TRUE(is_broken({'G', 'E', 'T', ' ', '/'}));  // a length of half a gigabyte
  EXPECT_TRUE(is_broken({0, 0, 0, 0, 4}));            // no kind
  EXPECT_TRUE(is_broken({1, 0, 0, 0, 99}));           // a kind that there is none
  std::vector<std::uint8_t> hello = encode(kMessages[0]);
  hello[5] ^= 1;  // the magic
  EXPECT_TRUE(is_broken(hello));
  hello = encode(kMessages[0]);
  hello[9] ^= 1;  // the version
  EXPECT_TRUE(is_broken(hello));
  std::vector<std::uint8_t> report = encode(kMessages[2]);
  report[10] = 200;  // the phase of the first rank
  EXPECT_TRUE(is_broken(report));
}

TEST(Wire, a_long_message_is_cut) {
  EXPECT_EQ(decoded<Failure>(Failure{.message = std::string(100000, 'x')}).message.size(), kLongestText);
}

TEST(Rendezvous, comes_back_from_its_bytes) {
  const Rendezvous sent{
      .host = "node1", .addresses = {"10.0.0.1", "fd00::2"}, .port = 40000, .token = {7}, .network = 5};
  const Rendezvous::Bytes bytes = sent.to_bytes();
  const Rendezvous received = Rendezvous::from_bytes(bytes);
  EXPECT_EQ(received.host, "node1");
  EXPECT_THAT(received.addresses, ElementsAre("10.0.0.1", "fd00::2"));
  EXPECT_EQ(received.port, 40000);
  EXPECT_EQ(received.token, sent.token);
  EXPECT_EQ(received.network, 5u);
}

TEST(Rendezvous, leaves_out_the_addresses_that_find_no_room) {
  Rendezvous sent{.host = "node1", .addresses = {}, .port = 1};
  for (int i = 0; i < 200; ++i) sent.addresses.push_back("10.0.0." + std::to_string(i));
  const Rendezvous received = Rendezvous::from_bytes(sent.to_bytes());
  ASSERT_GT(received.addresses.size(), 50u);
  ASSERT_LT(received.addresses.size(), 200u);
  sent.addresses.resize(received.addresses.size());
  EXPECT_EQ(received.addresses, sent.addresses);
}

TEST(Rendezvous, of_no_bytes_is_nowhere) {
  EXPECT_EQ(Rendezvous::from_bytes({}).port, 0);
  EXPECT_EQ(Rendezvous::from_bytes(Rendezvous::Bytes{}).port, 0);
  Rendezvous::Bytes garbage;
  garbage.fill(0xff);
  EXPECT_EQ(Rendezvous::from_bytes(garbage).port, 0);
}

TEST(Rendezvous, every_listener_has_a_port_and_a_token_of_its_own) {
  const WatchdogListener one = WatchdogListener::open(), other = WatchdogListener::open();
  EXPECT_GT(one.rendezvous().port, 0);
  EXPECT_NE(one.rendezvous().port, other.rendezvous().port);
  EXPECT_NE(one.rendezvous().token, other.rendezvous().token);
}

}  // namespace
}  // namespace convoy::watchdog
