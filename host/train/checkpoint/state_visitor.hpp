// How the parts of a run that change from step to step show what they hold to whoever saves or restores it: each names
// its state in one function, `visit_state`, which serves both, so that the two cannot differ.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/error.hpp"

namespace convoy {

// A name is given once for each of the parts below.
class StateVisitor {
 public:
  StateVisitor() = default;
  StateVisitor(const StateVisitor&) = delete;
  StateVisitor& operator=(const StateVisitor&) = delete;
  virtual ~StateVisitor() = default;

  // fp32 elements in device memory.
  virtual void device(std::string_view name, float* data, std::size_t count) = 0;
  // Host values; restoring may change how many there are.
  virtual void values(std::string_view name, std::vector<double>& values) = 0;
  virtual void values(std::string_view name, std::vector<std::int64_t>& values) = 0;

  template <typename T>
  requires std::is_arithmetic_v<T>
  void value(std::string_view name, T& value) {
    using Stored = std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>;
    std::vector<Stored> one{static_cast<Stored>(value)};
    values(name, one);
    CONVOY_CHECK(one.size() == 1, "{}: one value expected, {} found", name, one.size());
    value = static_cast<T>(one.front());
  }
  void value(std::string_view name, std::optional<double>& value) {
    std::vector<double> held;
    if (value) held.push_back(*value);
    values(name, held);
    value = held.empty() ? std::nullopt : std::optional(held.front());
  }
  void value(const std::string& name, LossSums& sums) {
    value(name + ".loss", sums.loss);
    value(name + ".correct", sums.correct);
    value(name + ".samples", sums.samples);
    value(name + ".not_finite", sums.not_finite);
  }
};

// Keeps nothing.
class IgnoringVisitor final : public StateVisitor {
 public:
  void device(std::string_view, float*, std::size_t) override {}
  void values(std::string_view, std::vector<double>&) override {}
  void values(std::string_view, std::vector<std::int64_t>&) override {}
};

// The state of this worker. What all ranks hold alike goes to `shared`, the rest to the rank's own part. Host values of
// a rank's part are sums: where a run goes on with another number of ranks, the first rank takes them over.
struct TrainingState {
  StateVisitor* shared = nullptr;
  StateVisitor* shared_again = nullptr;  // for a further rank of this worker that holds the same
  std::vector<StateVisitor*> ranks;      // of this worker
  bool has_other_ranks = false;          // it comes from a run with another number of ranks

  StateVisitor& same_on_all(std::size_t local_rank) const { return local_rank == 0 ? *shared : *shared_again; }
};

}  // namespace convoy
