// What one rank is doing, as it says itself: written by its training thread, read by the watchdog's thread.
// Relaxed atomics, a few nanoseconds a call, but for `follow`; a rank that nobody watches may write one as well.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "convoy/device_mark.hpp"

namespace convoy {

// In the order in which a run comes to them.
enum class Phase : std::uint8_t {
  starting,
  reading_data,
  planning,
  first_steps,  // in which libraries are loaded, devices connect and steps are captured
  training,
  averaging,
  evaluating,
  writing,
  finished
};

const char* name_of(Phase phase);  // "reading data"

// One look at a RankProgress. A rank moves when it differs from the look before.
struct RankState {
  Phase phase = Phase::starting;
  std::int64_t epoch = 0, step = 0;
  std::uint64_t collective = 0;  // the last one that it entered
  bool is_in_collective = false;
  std::uint64_t ticks = 0;
  std::uint64_t device_position = 0;  // DeviceMark::position; 0 where there is none

  bool operator==(const RankState&) const = default;
  // It needs the others to go on.
  bool is_waiting() const { return is_in_collective || is_device_waiting() || phase == Phase::averaging; }
  bool is_device_waiting() const { return device_position % 2 == 1; }
};

// On a cache line of its own, since every rank of a process writes one.
class alignas(64) RankProgress {
 public:
  void enter(Phase phase) noexcept {
    phase_.store(phase, std::memory_order_relaxed);
    touch();
  }
  void at_step(std::int64_t epoch, std::int64_t step) noexcept {
    epoch_.store(epoch, std::memory_order_relaxed);
    step_.store(step, std::memory_order_relaxed);
  }
  // Around every call that returns only when the other ranks have come too. Numbers rise and are alike on all ranks;
  // one thread of a rank at a time.
  void enter_collective(std::uint64_t number) noexcept {
    collective_.store(number << 1 | 1, std::memory_order_relaxed);
  }
  void leave_collective() noexcept {
    collective_.store(collective_.load(std::memory_order_relaxed) & ~std::uint64_t{1}, std::memory_order_relaxed);
  }
  // Any other progress: bytes read, an operation planned, a batch evaluated. From any thread.
  void touch() noexcept { ticks_.fetch_add(1, std::memory_order_relaxed); }
  // From now on what its device says of itself belongs to its state, after what one before has said.
  void follow(std::shared_ptr<const DeviceMark> device) {
    const std::lock_guard lock(mutex_);
    if (device_) device_position_before_ += 2 * device_->arrivals;
    device_ = std::move(device);
  }

  RankState state() const noexcept {
    const std::uint64_t collective = collective_.load(std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    return {.phase = phase_.load(std::memory_order_relaxed),
            .epoch = epoch_.load(std::memory_order_relaxed),
            .step = step_.load(std::memory_order_relaxed),
            .collective = collective >> 1,
            .is_in_collective = (collective & 1) != 0,
            .ticks = ticks_.load(std::memory_order_relaxed),
            .device_position = device_position_before_ + (device_ ? device_->position() : 0)};
  }

 private:
  std::atomic<Phase> phase_{Phase::starting};
  std::atomic<std::int64_t> epoch_{0}, step_{0};
  std::atomic<std::uint64_t> collective_{0};  // the number, and in the lowest bit whether it is inside
  std::atomic<std::uint64_t> ticks_{0};
  mutable std::mutex mutex_;  // of what follows
  std::shared_ptr<const DeviceMark> device_;
  std::uint64_t device_position_before_ = 0;
};

}  // namespace convoy
