// Tickets under one mutex; the gathering itself runs outside of it.
#include "data/batch_loader.hpp"

#include <algorithm>
#include <cstring>

#include "convoy/error.hpp"

namespace convoy {

BatchLoader::BatchLoader(const ImageSet& set, const BatchLayout& layout, Stager& stager, int threads)
    : set_(set), layout_(layout), stager_(stager), is_sent_(static_cast<std::size_t>(stager.slots())) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

BatchLoader::~BatchLoader() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

// When this returns no thread reads order_ and batches_.
void BatchLoader::forget_batches(std::unique_lock<std::mutex>& lock) {
  begun_ = batches_.size();
  changed_.wait(lock, [this] { return gathering_ == 0; });
  batches_.clear();
  is_sent_.assign(is_sent_.size(), 0);
  begun_ = taken_ = 0;
  failure_ = nullptr;
  failed_ = 0;
}

void BatchLoader::set_order(std::span<const std::int32_t> order) {
  std::unique_lock lock(mutex_);
  forget_batches(lock);
  order_.assign(order.begin(), order.end());
}

void BatchLoader::begin(std::span<const Share> batches) {
  std::unique_lock lock(mutex_);
  forget_batches(lock);
  for (const Share& batch : batches) {
    CONVOY_CHECK(batch.count >= 0 && batch.count <= static_cast<std::int64_t>(layout_.rows),
                 "a batch of {} images was not planned, but one of {}", batch.count, layout_.rows);
    CONVOY_CHECK(batch.first >= 0 && batch.first + batch.count <= static_cast<std::int64_t>(order_.size()),
                 "a batch of positions {} to {}, but the order has {}", batch.first, batch.first + batch.count,
                 order_.size());
  }
  batches_.assign(batches.begin(), batches.end());
  changed_.notify_all();
}

void BatchLoader::take(void* to) {
  std::unique_lock lock(mutex_);
  CONVOY_CHECK(taken_ < batches_.size(), "batch #{} is to be taken, but {} were announced", taken_ + 1,
               batches_.size());
  const int slot = slot_of(taken_);
  char& is_sent = is_sent_[static_cast<std::size_t>(slot)];
  if (is_sent == 0) {
    ++counts_.waits;
    changed_.wait(lock, [&] { return is_sent != 0 || (failure_ && gathering_ == 0); });
  }
  if (is_sent == 0) std::rethrow_exception(failure_);
  const std::size_t bytes = layout_.bytes(static_cast<std::size_t>(batches_[taken_].count));
  lock.unlock();
  stager_.receive(slot, to, bytes);  // before the slot is given to the next batch
  lock.lock();
  is_sent = 0;
  ++taken_;
  ++counts_.taken;
  changed_.notify_all();
}

LoaderCounts BatchLoader::counts() const {
  const std::lock_guard lock(mutex_);
  LoaderCounts counts = counts_;
  counts.ready = static_cast<int>(std::count(is_sent_.begin(), is_sent_.end(), 1));
  return counts;
}

bool BatchLoader::can_gather() const {
  return !failure_ && begun_ < batches_.size() && begun_ < taken_ + is_sent_.size();
}

void BatchLoader::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_ending_ || can_gather(); });
    if (is_ending_) return;
    const std::size_t number = begun_++;
    ++gathering_;
    lock.unlock();
    std::exception_ptr failure;
    try {
      gather(number);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    --gathering_;
    if (!failure) {
      is_sent_[static_cast<std::size_t>(slot_of(number))] = 1;
    } else if (!failure_ || number < failed_) {
      failure_ = failure;
      failed_ = number;
    }
    changed_.notify_all();
  }
}

void BatchLoader::gather(std::size_t number) {
  const int slot = slot_of(number);
  const Share& batch = batches_[number];
  std::byte* const to = stager_.claim(slot);
  auto* const labels = reinterpret_cast<std::int32_t*>(to);
  std::byte* const images = to + layout_.images_at();
  for (std::int64_t row = 0; row < batch.count; ++row) {
    const std::int32_t sample = order_[static_cast<std::size_t>(batch.first + row)];
    CONVOY_CHECK(sample >= 0 && static_cast<std::size_t>(sample) < set_.count(),
                 "position {} of the order is sample {}, but the set has {}", batch.first + row, sample, set_.count());
    labels[row] = set_.labels[static_cast<std::size_t>(sample)];
    std::memcpy(images + static_cast<std::size_t>(row) * layout_.image_bytes, set_.at(static_cast<std::size_t>(sample)),
                layout_.image_bytes);
  }
  stager_.send(slot, layout_.bytes(static_cast<std::size_t>(batch.count)));
}

}  // namespace convoy
