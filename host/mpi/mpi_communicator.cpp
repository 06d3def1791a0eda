// Collectives over host arenas, in place: as MPI operations on the MPI thread, or in memory that ranks of one host
// share.
#include "mpi/mpi_communicator.hpp"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "convoy/error.hpp"
#include "io/environment_switch.hpp"
#include "mpi/mpi_thread.hpp"
#include "mpi/shared_arena.hpp"

namespace convoy {
namespace {

int count_of(std::size_t count) {
  CONVOY_CHECK(count <= std::size_t{std::numeric_limits<int>::max()}, "a collective over {} values: MPI counts to {}",
               count, std::numeric_limits<int>::max());
  return static_cast<int>(count);
}

class MpiCommunicator;

struct SharedByGroup {
  std::weak_ptr<SharedArena> arena;
  const MpiCommunicator* group;  // which outlives it
};
using SharedArenas = std::vector<SharedByGroup>;

class MpiCommunicator final : public Communicator {
 public:
  // `group` is MPI_COMM_WORLD, or freed in the end.
  MpiCommunicator(std::shared_ptr<MpiThread> thread, std::shared_ptr<SharedArenas> shared, MPI_Comm group)
      : thread_(std::move(thread)), shared_(std::move(shared)), group_(group) {
    thread_->run([this] {
      check_mpi(MPI_Comm_rank(group_, &rank_), "MPI_Comm_rank");
      check_mpi(MPI_Comm_size(group_, &size_), "MPI_Comm_size");
    });
  }
  ~MpiCommunicator() override {
    if (group_ != MPI_COMM_WORLD) thread_->run([this] { MPI_Comm_free(&group_); });
  }

  std::string_view kind() const override { return "mpi"; }
  int rank() const override { return rank_; }
  int size() const override { return size_; }

  // The first group that shares an arena has it for itself.
  Attachment attach(const Arena& arena, Use) override {
    std::erase_if(*shared_, [](const SharedByGroup& one) { return one.arena.expired(); });
    const bool is_shared = std::ranges::any_of(*shared_, [&](const SharedByGroup& one) {
      return one.arena.lock()->holds({arena.floats(), 1});
    });
    const bool is_wanted = !is_shared && is_on_in_environment("CONVOY_SHARED_ARENAS");
    std::shared_ptr<SharedArena> made = SharedArena::make(arena, *this, is_wanted);
    if (made) shared_->push_back({made, this});
    return made;
  }

  void broadcast(FloatRange range, int root) override {
    const int count = count_of(range.count);
    thread_->wait(thread_->start([=, this] {
      MPI_Request request = MPI_REQUEST_NULL;
      check_mpi(MPI_Ibcast(range.data, count, MPI_FLOAT, root, group_, &request), "MPI_Ibcast");
      return request;
    }));
  }

  Pending average(FloatRange range) override {
    const int count = count_of(range.count);
    ++cost_.collectives;
    cost_.bytes += static_cast<std::int64_t>(range.count * sizeof(float));
    const auto number = static_cast<std::uint64_t>(cost_.collectives);
    pending_[number] = start_sum(range.data, count, MPI_FLOAT, MPI_SUM);
    return {number};
  }

  // MPI's blocking call has better algorithms than that which goes on beside.
  float average_and_join(FloatRange range, float factor) override {
    const auto begun = std::chrono::steady_clock::now();
    ++cost_.collectives;
    cost_.bytes += static_cast<std::int64_t>(range.count * sizeof(float));
    if (const std::shared_ptr<SharedArena> arena = shared_arena_of(range)) {
      arena->sum(range, std::exchange(factor, 1.0F));
    } else {
      bare_all_reduce(range, 1);
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    cost_.seconds += seconds;
    cost_.exposed_seconds += seconds;
    return factor;
  }

  bool is_faster_joined(FloatRange range) const override { return shared_arena_of(range) != nullptr; }

  void bare_all_reduce(FloatRange range, int times) override {
    const int count = count_of(range.count);
    thread_->run([&] {
      for (int i = 0; i < times; ++i) {
        check_mpi(MPI_Allreduce(MPI_IN_PLACE, range.data, count, MPI_FLOAT, MPI_SUM, group_), "MPI_Allreduce");
      }
    });
  }

  void join(Pending pending) override {
    const auto found = pending_.find(pending.number);
    CONVOY_CHECK(found != pending_.end(), "collective #{} was joined before, or never started", pending.number);
    const MpiThread::Handle handle = found->second;
    pending_.erase(found);
    const auto begun = std::chrono::steady_clock::now();
    thread_->wait(handle);
    const double waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    cost_.exposed_seconds += waited;
    cost_.seconds += std::max(thread_->seconds(handle), waited);  // a collective ends when who waits for it goes on
  }

  void sum(std::span<std::int64_t> values) override {
    thread_->wait(start_sum(values.data(), count_of(values.size()), MPI_INT64_T, MPI_SUM));
  }
  void sum(std::span<double> values) override {
    thread_->wait(start_sum(values.data(), count_of(values.size()), MPI_DOUBLE, MPI_SUM));
  }
  std::future<std::vector<std::int64_t>> start_sum(std::vector<std::int64_t> values) override {
    const auto kept = std::make_shared<std::vector<std::int64_t>>(std::move(values));
    // The task keeps the values: the sum goes on where nobody waits for it.
    const MpiThread::Handle handle = thread_->start(
        [this, kept] { return sum_request(kept->data(), count_of(kept->size()), MPI_INT64_T, MPI_SUM); });
    return std::async(std::launch::deferred, [thread = thread_, handle, kept] {
      thread->wait(handle);
      return *kept;
    });
  }
  MinMax min_max(std::uint64_t value) override {
    std::array<std::uint64_t, 2> most = {value, ~value};
    thread_->wait(start_sum(most.data(), 2, MPI_UINT64_T, MPI_MAX));
    return {~most[1], most[0]};
  }

  std::vector<std::string> gather(const std::string& text) override {
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(size_));
    lengths[static_cast<std::size_t>(rank_)] = static_cast<std::int64_t>(text.size());
    sum(std::span<std::int64_t>(lengths));
    std::vector<int> counts, offsets;
    int total = 0;
    for (const std::int64_t length : lengths) {
      counts.push_back(static_cast<int>(length));
      offsets.push_back(total);
      total += counts.back();
    }
    std::string all(static_cast<std::size_t>(total), ' ');
    thread_->wait(thread_->start([&] {
      MPI_Request request = MPI_REQUEST_NULL;
      check_mpi(MPI_Iallgatherv(text.data(), static_cast<int>(text.size()), MPI_CHAR, all.data(), counts.data(),
                                offsets.data(), MPI_CHAR, group_, &request),
                "MPI_Iallgatherv");
      return request;
    }));
    std::vector<std::string> texts;
    for (int r = 0; r < size_; ++r) texts.push_back(all.substr(offsets[r], counts[r]));
    return texts;
  }

  CommunicationCost cost() const override { return cost_; }

  std::unique_ptr<Communicator> split(int colour) override {
    return new_group(
        [&](MPI_Comm* group) { check_mpi(MPI_Comm_split(group_, colour, rank_, group), "MPI_Comm_split"); });
  }
  std::unique_ptr<Communicator> split_by_host() override {
    return new_group([&](MPI_Comm* group) {
      check_mpi(MPI_Comm_split_type(group_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, group), "MPI_Comm_split_type");
    });
  }

  void abort(int exit_code) noexcept override { thread_->abort(exit_code); }

 private:
  // Null where this group shares none that holds the range.
  std::shared_ptr<SharedArena> shared_arena_of(const FloatRange& range) const {
    for (const SharedByGroup& one : *shared_) {
      std::shared_ptr<SharedArena> arena = one.group == this ? one.arena.lock() : nullptr;
      if (arena && arena->holds(range)) return arena;
    }
    return nullptr;
  }

  MpiThread::Handle start_sum(void* values, int count, MPI_Datatype type, MPI_Op operation) {
    return thread_->start([=, this] { return sum_request(values, count, type, operation); });
  }
  MPI_Request sum_request(void* values, int count, MPI_Datatype type, MPI_Op operation) const {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Iallreduce(MPI_IN_PLACE, values, count, type, operation, group_, &request), "MPI_Iallreduce");
    return request;
  }

  template <typename Split>
  std::unique_ptr<Communicator> new_group(const Split& split) {
    MPI_Comm group = MPI_COMM_NULL;
    thread_->run([&] { split(&group); });
    return std::make_unique<MpiCommunicator>(thread_, shared_, group);
  }

  std::shared_ptr<MpiThread> thread_;
  std::shared_ptr<SharedArenas> shared_;  // of all groups that were split from one
  MPI_Comm group_;
  int rank_ = 0, size_ = 1;
  std::map<std::uint64_t, MpiThread::Handle> pending_;  // by the collective's number
  CommunicationCost cost_;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(const Launch& launch) {
  auto world = std::make_unique<MpiCommunicator>(std::make_shared<MpiThread>(), std::make_shared<SharedArenas>(),
                                                 MPI_COMM_WORLD);
  check_launch(launch, world->size(), mpi_version());
  return world;
}

std::string mpi_missing() { return ""; }

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  if (MPI_Get_library_version(text.data(), &length) != MPI_SUCCESS) return "";
  const std::string_view all(text.data(), static_cast<std::size_t>(length));
  // "Open MPI v4.1.4, package: ..." and "MPICH Version:\t4.0.2\n..."
  std::string name(all.substr(0, all.find_first_of(",\n")));
  const auto space = [](char c) { return c == ' ' || c == '\t'; };
  name.erase(std::unique(name.begin(), name.end(), [&](char a, char b) { return space(a) && space(b); }), name.end());
  std::ranges::replace(name, '\t', ' ');
  return name;
}

}  // namespace convoy
