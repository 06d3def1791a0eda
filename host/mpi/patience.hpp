// How a thread waits for other processes by looking again and again.
#pragma once

#include <chrono>
#include <thread>

namespace convoy {

// A collective of small networks takes tens of microseconds: looks that long without sleeping, but giving the core
// away in between.
class Patience {
 public:
  void rest() {
    if (looks_ < kEagerLooks) {
      ++looks_;
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kPause);
    }
  }
  void renew() { looks_ = 0; }

 private:
  static constexpr int kEagerLooks = 2000;
  static constexpr std::chrono::microseconds kPause{50};

  int looks_ = 0;
};

}  // namespace convoy
