// Every call is a meeting: each rank shows the others an address, reads what it needs, and leaves when all have read.
#include "train/worker_threads.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "convoy/error.hpp"

namespace convoy {
namespace {

class Meeting {
 public:
  explicit Meeting(int size) : shown_(static_cast<std::size_t>(size)) {}

  int size() const { return static_cast<int>(shown_.size()); }

  // read(addresses), of all ranks by rank, while every address holds still.
  template <typename Read>
  void show(int rank, const void* address, const Read& read) {
    {
      const std::lock_guard lock(mutex_);
      shown_[static_cast<std::size_t>(rank)] = address;
    }
    wait_for_all();
    read(shown_);
    wait_for_all();
  }

  void wait_for_all() {
    std::unique_lock lock(mutex_);
    if (is_broken_) fail("another rank failed");
    const std::uint64_t round = round_;
    if (++here_ == size()) {
      here_ = 0;
      ++round_;
      changed_.notify_all();
      return;
    }
    changed_.wait(lock, [&] { return round_ != round || is_broken_; });
    if (round_ == round) fail("another rank failed");
  }

  // Adds one rank's values to the sum of that number, and reads it, waiting, when all have.
  void add(std::uint64_t number, const std::vector<std::int64_t>& values) {
    const std::lock_guard lock(mutex_);
    Sum& sum = sums_[number];
    sum.values.resize(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) sum.values[i] += values[i];
    if (++sum.added == size()) changed_.notify_all();
  }
  std::vector<std::int64_t> read_sum(std::uint64_t number) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return sums_[number].added == size() || is_broken_; });
    Sum& sum = sums_[number];
    if (sum.added < size()) fail("another rank failed");
    std::vector<std::int64_t> values = sum.values;
    if (++sum.read == size()) sums_.erase(number);
    return values;
  }

  void break_up() {
    const std::lock_guard lock(mutex_);
    is_broken_ = true;
    for (const std::shared_ptr<Meeting>& part : parts_) part->break_up();
    changed_.notify_all();
  }

  // One of a part of the ranks, which ends with this one.
  std::shared_ptr<Meeting> make_part(int size) {
    const std::lock_guard lock(mutex_);
    return parts_.emplace_back(std::make_shared<Meeting>(size));
  }

 private:
  struct Sum {
    std::vector<std::int64_t> values;
    int added = 0, read = 0;  // by so many ranks
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, Sum> sums_;  // by number; not yet read by all
  std::vector<const void*> shown_;
  std::vector<std::shared_ptr<Meeting>> parts_;
  int here_ = 0;
  std::uint64_t round_ = 0;
  bool is_broken_ = false;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Meeting> meeting, int rank) : meeting_(std::move(meeting)), rank_(rank) {}

  std::string_view kind() const override { return "threads"; }
  int rank() const override { return rank_; }
  int size() const override { return meeting_->size(); }
  Attachment attach(const Arena&, Use) override { return nullptr; }

  void broadcast(FloatRange range, int root) override {
    meeting_->show(rank_, range.data, [&](const std::vector<const void*>& all) {
      const auto* from = static_cast<const float*>(all[static_cast<std::size_t>(root)]);
      if (rank_ != root) std::copy_n(from, range.count, range.data);
    });
  }

  Pending average(FloatRange range) override {
    ++cost_.collectives;
    cost_.bytes += static_cast<std::int64_t>(range.count * sizeof(float));
    started_.push_back(range);
    return {static_cast<std::uint64_t>(cost_.collectives)};
  }
  void join(Pending pending) override {
    const std::uint64_t next = static_cast<std::uint64_t>(cost_.collectives) - started_.size() + 1;
    CONVOY_CHECK(!started_.empty() && pending.number == next, "collective #{} is joined, #{} is next", pending.number,
                 next);
    sum_over_ranks(std::span(started_.front().data, started_.front().count));
    started_.pop_front();
  }
  void bare_all_reduce(FloatRange range, int times) override {
    for (int i = 0; i < times; ++i) sum_over_ranks(std::span(range.data, range.count));
  }

  void sum(std::span<std::int64_t> values) override { sum_over_ranks(values); }
  void sum(std::span<double> values) override { sum_over_ranks(values); }
  std::future<std::vector<std::int64_t>> start_sum(std::vector<std::int64_t> values) override {
    const std::uint64_t number = ++sums_started_;
    meeting_->add(number, values);
    return std::async(std::launch::deferred, [meeting = meeting_, number] { return meeting->read_sum(number); });
  }
  MinMax min_max(std::uint64_t value) override {
    MinMax found{value, value};
    meeting_->show(rank_, &value, [&](const std::vector<const void*>& all) {
      for (const void* other : all) {
        found.least = std::min(found.least, *static_cast<const std::uint64_t*>(other));
        found.most = std::max(found.most, *static_cast<const std::uint64_t*>(other));
      }
    });
    return found;
  }
  std::vector<std::string> gather(const std::string& text) override {
    std::vector<std::string> texts;
    meeting_->show(rank_, &text, [&](const std::vector<const void*>& all) {
      for (const void* other : all) texts.push_back(*static_cast<const std::string*>(other));
    });
    return texts;
  }

  CommunicationCost cost() const override { return cost_; }

  std::unique_ptr<Communicator> split(int colour) override {
    std::vector<int> members;  // of this colour
    meeting_->show(rank_, &colour, [&](const std::vector<const void*>& all) {
      for (int r = 0; r < size(); ++r) {
        if (*static_cast<const int*>(all[static_cast<std::size_t>(r)]) == colour) members.push_back(r);
      }
    });
    std::shared_ptr<Meeting> part;
    if (members.front() == rank_) part = meeting_->make_part(static_cast<int>(members.size()));
    const std::shared_ptr<Meeting> mine = part;
    meeting_->show(rank_, &mine, [&](const std::vector<const void*>& all) {
      part = *static_cast<const std::shared_ptr<Meeting>*>(all[static_cast<std::size_t>(members.front())]);
    });
    const auto place = std::find(members.begin(), members.end(), rank_) - members.begin();
    return std::make_unique<ThreadCommunicator>(part, static_cast<int>(place));
  }
  std::unique_ptr<Communicator> split_by_host() override { return split(0); }

  void abort(int) noexcept override { meeting_->break_up(); }

 private:
  // In the order of ranks, so that every rank has the same bits.
  template <typename T>
  void sum_over_ranks(std::span<T> values) {
    std::vector<T> total(values.size());
    meeting_->show(rank_, values.data(), [&](const std::vector<const void*>& all) {
      for (const void* other : all) {
        const T* more = static_cast<const T*>(other);
        for (std::size_t i = 0; i < total.size(); ++i) total[i] += more[i];
      }
    });
    std::copy(total.begin(), total.end(), values.begin());
  }

  std::shared_ptr<Meeting> meeting_;
  int rank_;
  std::deque<FloatRange> started_;  // and not joined
  std::uint64_t sums_started_ = 0;
  CommunicationCost cost_;
};

}  // namespace

void run_worker_threads(int count, const std::function<void(Communicator&)>& body) {
  const auto meeting = std::make_shared<Meeting>(count);
  std::mutex mutex;
  std::exception_ptr first;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadCommunicator communicator(meeting, rank);
      try {
        body(communicator);
        return;
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!first) first = std::current_exception();
      }
      meeting->break_up();
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace convoy
