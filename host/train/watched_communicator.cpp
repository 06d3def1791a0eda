// One number a wait, since all ranks wait in the same order; what is split off counts on.
#include "train/watched_communicator.hpp"

#include <utility>

namespace convoy {
namespace {

class WatchedCommunicator final : public Communicator {
 public:
  WatchedCommunicator(std::unique_ptr<Communicator> inner, RankProgress& progress, std::shared_ptr<std::uint64_t> waits)
      : inner_(std::move(inner)), progress_(progress), waits_(std::move(waits)) {}

  std::string_view kind() const override { return inner_->kind(); }
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  bool can_be_recorded() const override { return inner_->can_be_recorded(); }
  Attachment attach(const Arena& arena, Use use) override {
    const Wait wait(*this);
    return inner_->attach(arena, use);
  }
  Pending average(FloatRange range) override { return inner_->average(range); }
  bool is_faster_joined(FloatRange range) const override { return inner_->is_faster_joined(range); }
  CommunicationCost cost() const override { return inner_->cost(); }
  void abort(int exit_code) noexcept override { inner_->abort(exit_code); }

  void broadcast(FloatRange range, int root) override {
    const Wait wait(*this);
    inner_->broadcast(range, root);
  }
  void join(Pending pending) override {
    const Wait wait(*this);
    inner_->join(pending);
  }
  float average_and_join(FloatRange range, float factor) override {
    const Wait wait(*this);
    return inner_->average_and_join(range, factor);
  }
  void bare_all_reduce(FloatRange range, int times) override {
    const Wait wait(*this);
    inner_->bare_all_reduce(range, times);
  }
  void sum(std::span<std::int64_t> values) override {
    const Wait wait(*this);
    inner_->sum(values);
  }
  void sum(std::span<double> values) override {
    const Wait wait(*this);
    inner_->sum(values);
  }
  std::future<std::vector<std::int64_t>> start_sum(std::vector<std::int64_t> values) override {
    return std::async(std::launch::deferred, [this, sum = inner_->start_sum(std::move(values))]() mutable {
      const Wait wait(*this);
      return sum.get();
    });
  }
  MinMax min_max(std::uint64_t value) override {
    const Wait wait(*this);
    return inner_->min_max(value);
  }
  std::vector<std::string> gather(const std::string& text) override {
    const Wait wait(*this);
    return inner_->gather(text);
  }
  std::unique_ptr<Communicator> split(int colour) override {
    const Wait wait(*this);
    return watched(inner_->split(colour));
  }
  std::unique_ptr<Communicator> split_by_host() override {
    const Wait wait(*this);
    return watched(inner_->split_by_host());
  }

 private:
  class Wait {
   public:
    explicit Wait(WatchedCommunicator& owner) : progress_(owner.progress_) {
      progress_.enter_collective(++*owner.waits_);
    }
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;
    ~Wait() { progress_.leave_collective(); }

   private:
    RankProgress& progress_;
  };

  std::unique_ptr<Communicator> watched(std::unique_ptr<Communicator> part) const {
    return std::make_unique<WatchedCommunicator>(std::move(part), progress_, waits_);
  }

  std::unique_ptr<Communicator> inner_;
  RankProgress& progress_;
  std::shared_ptr<std::uint64_t> waits_;
};

}  // namespace

std::unique_ptr<Communicator> watch(std::unique_ptr<Communicator> communicator, RankProgress& progress) {
  return std::make_unique<WatchedCommunicator>(std::move(communicator), progress, std::make_shared<std::uint64_t>(0));
}

}  // namespace convoy
