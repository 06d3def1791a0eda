// One rank alone: every sum is its own value, every collective is done before it starts.
#include <utility>

#include "convoy/communicator.hpp"

namespace convoy {
namespace {

class SelfCommunicator final : public Communicator {
 public:
  std::string_view kind() const override { return "self"; }
  int rank() const override { return 0; }
  int size() const override { return 1; }
  Attachment attach(const Arena&, Use) override { return nullptr; }
  void broadcast(FloatRange, int) override {}
  Pending average(FloatRange range) override {
    cost_.bytes += static_cast<std::int64_t>(range.count * sizeof(float));
    return {static_cast<std::uint64_t>(++cost_.collectives)};
  }
  void join(Pending) override {}
  void bare_all_reduce(FloatRange, int) override {}
  void sum(std::span<std::int64_t>) override {}
  void sum(std::span<double>) override {}
  std::future<std::vector<std::int64_t>> start_sum(std::vector<std::int64_t> values) override {
    return std::async(std::launch::deferred, [values = std::move(values)] { return values; });
  }
  MinMax min_max(std::uint64_t value) override { return {value, value}; }
  std::vector<std::string> gather(const std::string& text) override { return {text}; }
  CommunicationCost cost() const override { return cost_; }
  std::unique_ptr<Communicator> split(int) override { return make_self_communicator(); }
  std::unique_ptr<Communicator> split_by_host() override { return make_self_communicator(); }
  void abort(int) noexcept override {}

 private:
  CommunicationCost cost_;
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() { return std::make_unique<SelfCommunicator>(); }

}  // namespace convoy
