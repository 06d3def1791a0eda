// Times of what is enqueued on a device: what the device did, and nothing of the host that waited for it.
#include "train/device_times.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>
#include <utility>

#include "nn/lower.hpp"
#include "support/backends.hpp"
#include "support/stub_backend.hpp"
#include "train/step_benchmark.hpp"

namespace convoy {
namespace {

using test::BackendCase;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A device whose time passes by what is enqueued on it, alone. Waiting for it by other ways is an error.
class ModelBackend final : public test::StubBackend {
 public:
  void enqueue(double seconds) { now_ += seconds; }
  int waits() const { return waits_; }

  std::unique_ptr<DeviceTimer> make_timer(int marks) override { return std::make_unique<Timer>(*this, marks); }
  std::unique_ptr<Recording> record(StepKind, const std::function<void()>& step) override {
    return std::make_unique<Calls>(step);
  }

 private:
  struct Timer final : DeviceTimer {
    Timer(ModelBackend& of, int most) : device(of), left(most) {}
    void mark() override {
      EXPECT_GT(left--, 0) << "more marks than were asked for";
      marks.push_back(device.now_);
    }
    std::vector<double> intervals() override {
      ++device.waits_;
      std::vector<double> seconds;
      for (std::size_t i = 1; i < marks.size(); ++i) seconds.push_back(marks[i] - marks[i - 1]);
      return seconds;
    }
    ModelBackend& device;
    int left;
    std::vector<double> marks;
  };
  struct Calls final : Recording {
    explicit Calls(std::function<void()> of) : step(std::move(of)) {}
    void replay() override { step(); }
    std::function<void()> step;
  };

  double now_ = 0;
  int waits_ = 0;
};

constexpr double kExact = 1e-9;  // seconds: sums of doubles

TEST(DeviceTimes, are_those_of_each_call_and_the_device_is_waited_for_twice_whatever_their_number) {
  for (const int count : {1, 7}) {
    ModelBackend device;
    std::vector<int> made(3, 0);
    const std::vector<double> times =
        time_recorded(device, count,
                      {[&] { ++made[0], device.enqueue(4e-4); }, [&] { ++made[1], device.enqueue(3e-2); },
                       [&] { ++made[2], device.enqueue(1e-6); }});
    ASSERT_EQ(times.size(), 3U);
    EXPECT_NEAR(times[0], 4e-4, kExact);
    EXPECT_NEAR(times[1], 3e-2, kExact);
    EXPECT_NEAR(times[2], 1e-6, kExact);
    EXPECT_EQ(device.waits(), 2) << "once to see how many make a row, once for all times";
    EXPECT_EQ(made[1], 2 + (2 + count) * 1);
    EXPECT_GE(made[0], 2 + (2 + count) * 4) << "2 ms at least";
    EXPECT_EQ(made[2], 2 + (2 + count) * 50) << "as many as there may be";
  }
}

TEST(DeviceTimes, of_one_call_are_as_many_as_asked_for_and_an_outlier_moves_no_median) {
  ModelBackend device;
  int calls = 0;
  const auto call = [&] { device.enqueue(++calls == 4 ? 1 : 5e-3); };
  const std::vector<double> times = time_calls(device, 3, call);
  ASSERT_EQ(times.size(), 3U);
  EXPECT_NEAR(times[1], 1, kExact);
  EXPECT_NEAR(times[2], 5e-3, kExact);
  EXPECT_EQ(device.waits(), 2);
  calls = -2;  // four calls come before: two to see how long one is, two to record it
  EXPECT_NEAR(time_recorded(device, 3, {call}).front(), 5e-3, kExact);
}

TEST(DeviceTimes, of_one_call_make_no_more_calls_than_they_say) {
  ModelBackend device;
  int calls = 0;
  time_calls(device, 3, [&] { ++calls, device.enqueue(1e-7); });
  EXPECT_EQ(calls, most_calls(3));
}

class DeviceTimerOf : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override {
    if (const std::string reason = reason_to_skip(GetParam()); !reason.empty()) GTEST_SKIP() << reason;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, DeviceTimerOf,
                         testing::Values(BackendCase{"cpu", Precision::fp32, 0, ""},
                                         BackendCase{"cuda", Precision::fp32, 0, ""}),
                         [](const auto& one) { return test::name(one.param); });

// A device's clock and the host's may run a little apart.
constexpr double kClocks = 1.01;

TEST_P(DeviceTimerOf, gives_the_time_between_marks_of_which_all_are_no_more_than_what_passed_here) {
  const auto backend = test::make_backend_for_test(GetParam().backend, GetParam().precision);
  constexpr std::size_t kBytes = 1 << 20;
  const Arena arena = backend->allocate(kBytes, "test");
  backend->wait();
  const auto timer = backend->make_timer(4);
  for (int turn = 0; turn < 2; ++turn) {  // the second with the same marks
    const auto start = std::chrono::steady_clock::now();
    timer->mark();
    for (int i = 0; i < 3; ++i) {
      for (int copies = 0; copies < 4; ++copies) backend->zero(arena.data(), kBytes);
      timer->mark();
    }
    const std::vector<double> seconds = timer->intervals();
    const double passed = seconds_since(start);
    ASSERT_EQ(seconds.size(), 3U);
    for (const double one : seconds) EXPECT_GE(one, 0);
    const double sum = std::accumulate(seconds.begin(), seconds.end(), 0.0);
    EXPECT_GT(sum, 0);
    EXPECT_LE(sum, kClocks * passed);
  }
  EXPECT_TRUE(timer->intervals().empty());
}

TEST_P(DeviceTimerOf, gives_every_operation_of_a_network_a_row_of_times_beside_its_floor) {
  const RunConfig config = resolve_config(
      "", {{"model", "seed"}, {"batch", "2"}, {"threads", "1"}, {"device", GetParam().backend}, {"momentum", "0.9"}});
  const auto start = std::chrono::steady_clock::now();
  const LayerTimes times = measure_layers(config, 2);
  const double passed = seconds_since(start);
  const Network network = load_network("seed");
  const Shapes shapes = infer_shapes(network, 10, 3);
  const auto operations = lower(network, shapes, make_layout(network, shapes)).operations;
  ASSERT_EQ(times.rows.size(), operations.size());
  double sum = 0;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const LayerTimes::Row& row = times.rows[i];
    EXPECT_EQ(row.name, operations[i].name);
    EXPECT_GT(row.forward_seconds, 0) << row.name;
    EXPECT_GT(row.forward_floor, 0) << row.name;
    EXPECT_EQ(row.backward_seconds > 0, operations[i].backward) << row.name;
    sum += row.forward_seconds + row.backward_seconds;
  }
  EXPECT_LE(sum, kClocks * passed);
}

}  // namespace
}  // namespace convoy
