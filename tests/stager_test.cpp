// What a slot sends is what is received, however far the host runs ahead of the device.
#include "convoy/stager.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "support/backends.hpp"

namespace convoy::test {
namespace {

constexpr int kSlots = 3, kRounds = 10;
constexpr std::size_t kBytes = 1000;

const BackendCase kCases[] = {
    {"cpu", Precision::fp32, 0, "bytes are copied"},
    {"cuda", Precision::fp32, 0, "bytes are copied"},
};

class Stagers : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override {
    if (const std::string reason = reason_to_skip(GetParam()); !reason.empty()) GTEST_SKIP() << reason;
    backend_ = make_backend_for_test(GetParam().backend, GetParam().precision);
  }
  std::unique_ptr<Backend> backend_;
};

TEST_P(Stagers, what_is_sent_is_received_in_every_round) {
  const Arena buffer = backend_->allocate(kBytes, "a batch");
  const Arena received = backend_->allocate(kRounds * kSlots * kBytes, "all batches");
  const std::unique_ptr<Stager> stager = backend_->make_stager(kSlots, kBytes, "slots");
  ASSERT_EQ(stager->slots(), kSlots);
  for (int batch = 0; batch < kRounds * kSlots; ++batch) {
    const int slot = batch % kSlots;
    std::memset(stager->claim(slot), batch + 1, kBytes);
    stager->send(slot, kBytes);
    stager->receive(slot, buffer.data(), kBytes);
    backend_->copy(received.at(static_cast<std::size_t>(batch) * kBytes), buffer.data(), kBytes);
  }
  std::vector<char> found(received.bytes());
  backend_->download(found.data(), received.data(), received.bytes());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i], static_cast<char>(i / kBytes + 1)) << "byte " << i % kBytes << " of batch " << i / kBytes;
  }
}

TEST_P(Stagers, a_part_of_a_slot_leaves_the_rest_of_the_buffer_as_it_was) {
  const Arena buffer = backend_->allocate(kBytes, "a batch");
  const std::unique_ptr<Stager> stager = backend_->make_stager(kSlots, kBytes, "slots");
  std::memset(stager->claim(1), 7, kBytes);
  stager->send(1, 10);
  stager->receive(1, buffer.data(), 10);
  std::vector<char> found(kBytes);
  backend_->download(found.data(), buffer.data(), kBytes);
  EXPECT_EQ(found, [] {
    std::vector<char> expected(kBytes, 0);
    std::memset(expected.data(), 7, 10);
    return expected;
  }());
}

INSTANTIATE_TEST_SUITE_P(Backends, Stagers, testing::ValuesIn(kCases), [](const auto& one) { return name(one.param); });

}  // namespace
}  // namespace convoy::test
