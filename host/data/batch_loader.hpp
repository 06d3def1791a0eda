// Batches of a set on their way to the device: threads gather their rows, in the order in which steps take them and as
// far ahead of the steps as the ring of slots allows.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "convoy/stager.hpp"
#include "data/dataset.hpp"
#include "data/sampler.hpp"

namespace convoy {

// How a batch lies in a slot: labels int32 [rows], and images uint8 [rows,H,W,C] from the next multiple of 256 bytes.
struct BatchLayout {
  std::size_t rows = 0;  // of the largest batch
  std::size_t image_bytes = 0;
  std::size_t images_at() const { return (rows * sizeof(std::int32_t) + 255) / 256 * 256; }
  std::size_t bytes(std::size_t count) const { return images_at() + count * image_bytes; }
};

struct LoaderCounts {
  std::int64_t taken = 0;
  std::int64_t waits = 0;  // batches that were not ready when they were to be taken
  int ready = 0;           // batches that are now
};

class BatchLoader {
 public:
  // Set and stager, whose slots hold layout.bytes(rows), outlive this.
  BatchLoader(const ImageSet& set, const BatchLayout& layout, Stager& stager, int threads);
  ~BatchLoader();
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  // Sample numbers by position. What was announced before is forgotten.
  void set_order(std::span<const std::int32_t> order);
  // Announces the batches that will be taken, in this order: positions of the order. What was announced before and not
  // taken is forgotten.
  void begin(std::span<const Share> batches);
  // Enqueues that the next batch stands in `to`, after waiting for the threads to gather it. Throws what one of them
  // threw.
  void take(void* to);

  LoaderCounts counts() const;  // since it was made

 private:
  void work();
  bool can_gather() const;
  void gather(std::size_t number);
  void forget_batches(std::unique_lock<std::mutex>& lock);
  int slot_of(std::size_t number) const { return static_cast<int>(number % is_sent_.size()); }

  const ImageSet& set_;
  BatchLayout layout_;
  Stager& stager_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::int32_t> order_;  // with batches_: written only while no thread gathers
  std::vector<Share> batches_;
  std::vector<char> is_sent_;          // by slot: it holds a batch that nobody has taken
  std::size_t begun_ = 0, taken_ = 0;  // batches
  int gathering_ = 0;                  // threads at it
  bool is_ending_ = false;
  std::exception_ptr failure_;  // of the first batch that failed
  std::size_t failed_ = 0;      // its number
  LoaderCounts counts_;
  std::vector<std::thread> threads_;
};

}  // namespace convoy
