// Which sets lie on the device, and which come there batch by batch.
// needs: oneDNN
#include "train/device_set.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "convoy/error.hpp"
#include "cpu/stager.hpp"
#include "data/synthetic.hpp"
#include "support/stub_backend.hpp"

namespace convoy {
namespace {

// A device with so much free memory, which is the host's.
class SmallDevice final : public test::StubBackend {
 public:
  explicit SmallDevice(std::size_t free) : free_(free) {}
  Arena allocate(std::size_t bytes, std::string_view, Communicated) override {
    return {std::calloc(bytes, 1), bytes, std::free};
  }
  Arena share(const void* host, std::size_t bytes, std::string_view what) override {
    if (what != "labels") shared_ += bytes;
    Arena arena = allocate(bytes, what, Communicated::no);
    std::memcpy(arena.data(), host, bytes);
    return arena;
  }
  void upload(void* device, const void* host, std::size_t bytes) override { std::memcpy(device, host, bytes); }
  std::size_t free_bytes() const override { return free_ - shared_; }
  std::unique_ptr<Stager> make_stager(int slots, std::size_t bytes, std::string_view what) override {
    return cpu::make_stager(allocate(static_cast<std::size_t>(slots) * bytes, what, Communicated::no), slots, bytes);
  }

 private:
  std::size_t free_, shared_ = 0;
};

constexpr std::size_t kImages = 10;
constexpr std::size_t kPixelBytes = kImages * 3072;

DeviceSetOptions options_of(DataMode mode) { return {.name = "test images", .mode = mode, .batch = 4}; }

class DeviceSets : public testing::Test {
 protected:
  bool is_staged(std::size_t free, DataMode mode) {
    SmallDevice device(free);
    return DeviceSet(device, set_, options_of(mode)).is_staged();
  }
  ImageSet set_ = make_synthetic(kImages, 0).train;
};

TEST_F(DeviceSets, are_resident_by_themselves_where_they_take_at_most_half_of_the_free_memory) {
  ASSERT_EQ(set_.pixel_bytes(), kPixelBytes);
  EXPECT_FALSE(is_staged(2 * kPixelBytes, DataMode::automatic));
  EXPECT_TRUE(is_staged(2 * kPixelBytes - 2, DataMode::automatic));
}

TEST_F(DeviceSets, count_what_earlier_sets_have_taken) {
  SmallDevice device(3 * kPixelBytes);
  const DeviceSet first(device, set_, options_of(DataMode::automatic));
  const DeviceSet second(device, set_, options_of(DataMode::automatic));
  const DeviceSet third(device, set_, options_of(DataMode::automatic));
  EXPECT_FALSE(first.is_staged());
  EXPECT_FALSE(second.is_staged());
  EXPECT_TRUE(third.is_staged());
  EXPECT_EQ(first.line(), "");
  EXPECT_EQ(third.line(), "test images: staged, for they take 0.0 MB, and 0.0 MB of device memory are free");
}

TEST_F(DeviceSets, are_what_the_user_says) {
  EXPECT_TRUE(is_staged(1000 * kPixelBytes, DataMode::staged));
  EXPECT_FALSE(is_staged(kPixelBytes, DataMode::resident));
}

TEST_F(DeviceSets, that_must_be_resident_and_do_not_fit_are_a_mistake_with_its_remedy) {
  try {
    is_staged(kPixelBytes - 1, DataMode::resident);
    FAIL() << "no UsageError";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("--data-mode resident: the test images take 0.0 MB, but 0.0 MB of "
                                                 "device memory are free: use staged"));
  }
}

// Position p of a batch, as backends find it.
void expect_rows(const DeviceSet& device_set, const ImageSet& set, const std::vector<std::int32_t>& order,
                 const Share& share) {
  const BatchSource source = device_set.source();
  for (std::int64_t p = 0; p < share.count; ++p) {
    const std::int32_t sample = order[static_cast<std::size_t>(share.first + p)];
    EXPECT_EQ(source.order[share.first + p], sample);
    const std::int64_t row = source.staged ? p : sample;
    EXPECT_EQ(source.labels[row], set.labels[static_cast<std::size_t>(sample)]);
    EXPECT_EQ(std::memcmp(source.images + row * 3072, set.at(static_cast<std::size_t>(sample)), 3072), 0);
  }
}

TEST_F(DeviceSets, show_each_batch_where_the_step_looks_for_it) {
  for (const DataMode mode : {DataMode::resident, DataMode::staged}) {
    SmallDevice device(1000 * kPixelBytes);
    DeviceSet in_own_order(device, set_, options_of(mode));
    DeviceSetOptions options = options_of(mode);
    options.positions = 6;
    DeviceSet of_six(device, set_, options);
    const std::vector<std::int32_t> own = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, six = {7, 7, 0, 9, 3, 1};
    of_six.set_order(six);
    const std::vector<Share> batches = {{4, 4}, {8, 2}}, parts = {{0, 4}, {4, 2}};
    in_own_order.begin(batches);
    of_six.begin(parts);
    for (std::size_t i = 0; i < 2; ++i) {
      in_own_order.next();
      expect_rows(in_own_order, set_, own, batches[i]);
      of_six.next();
      expect_rows(of_six, set_, six, parts[i]);
    }
  }
}

}  // namespace
}  // namespace convoy
