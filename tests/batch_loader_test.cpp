// Batches arrive whole and in order, ahead of whoever takes them, and a thread's failure reaches its user.
#include "data/batch_loader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <thread>

#include "convoy/error.hpp"

namespace convoy {
namespace {

constexpr int kSlots = 4, kThreads = 2;
constexpr Extent kImage{2, 2, 3};
constexpr std::size_t kImages = 50;

// Image i is full of the number i, its label is 1000 + i.
ImageSet numbered_images() {
  ImageSet set;
  set.image = kImage;
  for (std::size_t i = 0; i < kImages; ++i) {
    set.images.insert(set.images.end(), static_cast<std::size_t>(kImage.elements()), static_cast<std::uint8_t>(i));
    set.labels.push_back(static_cast<std::int32_t>(1000 + i));
  }
  return set;
}

// Slots of plain memory that notice when a batch is overwritten before it was received.
class WatchedStager final : public Stager {
 public:
  explicit WatchedStager(std::size_t bytes) : memory_(kSlots * bytes), is_full_(kSlots), bytes_(bytes) {}

  int slots() const override { return kSlots; }
  std::byte* claim(int slot) override {
    if (on_claim) on_claim();
    if (is_full_[slot]) ++overwritten;
    return memory_.data() + slot * bytes_;
  }
  void send(int slot, std::size_t) override {
    is_full_[slot] = true;
    ++sent;
  }
  void receive(int slot, void* to, std::size_t bytes) override {
    std::memcpy(to, memory_.data() + slot * bytes_, bytes);
    is_full_[slot] = false;
  }

  std::function<void()> on_claim;  // from a loader's thread
  std::atomic<int> sent = 0, overwritten = 0;

 private:
  std::vector<std::byte> memory_;
  std::vector<std::atomic<bool>> is_full_;
  std::size_t bytes_;  // of a slot
};

// Waits for what another thread does; false where that does not happen.
bool happens(const std::function<bool()>& what) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!what()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class BatchLoading : public testing::Test {
 protected:
  static constexpr std::int64_t kRows = 7;

  BatchLoading() {
    std::iota(order_.rbegin(), order_.rend(), 0);  // backwards
  }
  // All of the order, the last batch smaller.
  std::vector<Share> whole() const {
    std::vector<Share> batches;
    const auto count = static_cast<std::int64_t>(order_.size());
    for (std::int64_t first = 0; first < count; first += kRows) {
      batches.push_back({first, std::min(kRows, count - first)});
    }
    return batches;
  }
  void expect_batch(BatchLoader& loader, const Share& share) {
    loader.take(batch_.data());
    const auto* labels = reinterpret_cast<const std::int32_t*>(batch_.data());
    for (std::int64_t row = 0; row < share.count; ++row) {
      const std::int32_t sample = order_[static_cast<std::size_t>(share.first + row)];
      EXPECT_EQ(labels[row], 1000 + sample);
      const std::byte* image =
          batch_.data() + layout_.images_at() + static_cast<std::size_t>(row) * layout_.image_bytes;
      for (std::size_t i = 0; i < layout_.image_bytes; ++i) {
        ASSERT_EQ(static_cast<std::int32_t>(image[i]), sample) << "row " << row;
      }
    }
  }

  ImageSet set_ = numbered_images();
  BatchLayout layout_{kRows, static_cast<std::size_t>(kImage.elements())};
  WatchedStager stager_{layout_.bytes(kRows)};
  std::vector<std::int32_t> order_ = std::vector<std::int32_t>(kImages);
  std::vector<std::byte> batch_ = std::vector<std::byte>(layout_.bytes(kRows));
};

TEST_F(BatchLoading, batches_hold_the_rows_of_the_order_for_several_epochs) {
  BatchLoader loader(set_, layout_, stager_, kThreads);
  for (int epoch = 0; epoch < 20; ++epoch) {
    std::rotate(order_.begin(), order_.begin() + 11, order_.end());
    loader.set_order(order_);
    loader.begin(whole());
    for (const Share& share : whole()) expect_batch(loader, share);
  }
  EXPECT_EQ(loader.counts().taken, 20 * 8);
  EXPECT_EQ(stager_.overwritten, 0);
}

TEST_F(BatchLoading, parts_in_any_order_and_without_a_row_are_batches_too) {
  BatchLoader loader(set_, layout_, stager_, kThreads);
  loader.set_order(order_);
  const std::vector<Share> batches = {{20, 3}, {23, 0}, {0, 7}, {0, 7}, {50, 0}, {49, 1}};
  loader.begin(batches);
  for (const Share& share : batches) expect_batch(loader, share);
}

TEST_F(BatchLoading, what_nobody_took_is_forgotten_when_other_batches_are_announced) {
  BatchLoader loader(set_, layout_, stager_, kThreads);
  loader.set_order(order_);
  loader.begin(whole());
  expect_batch(loader, whole().front());
  ASSERT_TRUE(happens([&] { return stager_.sent == 1 + kSlots; }));
  const std::vector<Share> others = {{30, 5}, {3, 7}};
  loader.begin(others);
  for (const Share& share : others) expect_batch(loader, share);
}

TEST_F(BatchLoading, other_batches_are_announced_only_when_no_thread_is_at_the_old_ones) {
  BatchLoader loader(set_, layout_, stager_, 1);
  std::atomic<bool> is_claimed = false, is_announced = false, is_overtaken = false;
  stager_.on_claim = [&] {
    if (is_claimed.exchange(true)) return;
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    while (!is_announced && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    is_overtaken = is_announced.load();
  };
  loader.set_order(order_);
  loader.begin(whole());
  ASSERT_TRUE(happens([&] { return is_claimed.load(); }));
  loader.begin(whole());
  is_announced = true;
  for (const Share& share : whole()) expect_batch(loader, share);
  EXPECT_FALSE(is_overtaken);
}

TEST_F(BatchLoading, stays_ahead_of_steps_that_take_their_time) {
  BatchLoader loader(set_, layout_, stager_, kThreads);
  loader.set_order(order_);
  loader.begin(whole());
  const int batches = static_cast<int>(whole().size());
  for (int step = 0; step < batches; ++step) {
    // Without anybody asking: the ring is full, whatever the step is at.
    ASSERT_TRUE(happens([&] { return loader.counts().ready == std::min(kSlots, batches - step); })) << "step " << step;
    expect_batch(loader, whole()[static_cast<std::size_t>(step)]);
  }
  EXPECT_EQ(loader.counts().waits, 0);
  EXPECT_EQ(stager_.overwritten, 0);
}

TEST_F(BatchLoading, steps_wait_for_threads_that_take_their_time) {
  BatchLoader loader(set_, layout_, stager_, 1);
  std::atomic<int> claims = 0;
  stager_.on_claim = [&] {  // until its batch is waited for
    const int batch = claims++;
    EXPECT_TRUE(happens([&] { return loader.counts().waits > batch; }));
  };
  loader.set_order(order_);
  loader.begin(whole());
  for (const Share& share : whole()) expect_batch(loader, share);
  EXPECT_EQ(loader.counts().waits, static_cast<std::int64_t>(whole().size()));
}

TEST_F(BatchLoading, a_sample_that_the_set_does_not_have_is_an_error_of_its_batch) {
  BatchLoader loader(set_, layout_, stager_, kThreads);
  order_[8] = kImages;
  loader.set_order(order_);
  loader.begin(whole());
  expect_batch(loader, whole().front());
  EXPECT_EQ(error_of([&] { loader.take(batch_.data()); }), "position 8 of the order is sample 50, but the set has 50");
}

TEST_F(BatchLoading, what_the_device_says_to_a_thread_reaches_whoever_takes_the_batch) {
  BatchLoader loader(set_, layout_, stager_, kThreads);
  stager_.on_claim = [] { fail("the device is gone"); };
  loader.set_order(order_);
  loader.begin(whole());
  EXPECT_EQ(error_of([&] { loader.take(batch_.data()); }), "the device is gone");
}

TEST_F(BatchLoading, a_batch_that_was_not_announced_or_not_planned_is_an_error) {
  BatchLoader loader(set_, layout_, stager_, kThreads);
  loader.set_order(order_);
  const std::vector<Share> one = {{0, 2}}, large = {{0, 8}}, beyond = {{45, 6}};
  loader.begin(one);
  expect_batch(loader, one.front());
  EXPECT_EQ(error_of([&] { loader.take(batch_.data()); }), "batch #2 is to be taken, but 1 were announced");
  EXPECT_EQ(error_of([&] { loader.begin(large); }), "a batch of 8 images was not planned, but one of 7");
  EXPECT_EQ(error_of([&] { loader.begin(beyond); }), "a batch of positions 45 to 51, but the order has 50");
}

}  // namespace
}  // namespace convoy
