// A loop over a few independent pieces on as many threads as this process may use.
#include "data/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <vector>

namespace convoy {

void parallel_for(std::size_t count, const std::function<void(std::size_t)>& body) {
  constexpr std::size_t kMostThreads = 8;  // memory bandwidth is spent by then
  const std::size_t threads =
      std::min({count, kMostThreads, std::max<std::size_t>(1, std::thread::hardware_concurrency())});
  std::vector<std::exception_ptr> failures(count);
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t index = next++; index < count; index = next++) {
      try {
        body(index);
      } catch (...) {
        failures[index] = std::current_exception();
      }
    }
  };
  std::vector<std::jthread> helpers;
  for (std::size_t i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
  helpers.clear();  // joins
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace convoy
