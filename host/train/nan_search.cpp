// The step is found at full speed; only it is taken operation by operation, for that brings every result to the host.
#include "train/nan_search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <utility>

#include "train/checkpoint/snapshot.hpp"
#include "train/not_finite.hpp"

namespace convoy {
namespace {

// The state of this worker in host memory.
class StateInMemory {
 public:
  using Visit = std::function<void(TrainingState&)>;

  StateInMemory(Backend& backend, std::size_t ranks, const Visit& visit) : backend_(backend), shared_(backend) {
    IgnoringVisitor ignored;
    TrainingState state{.shared = &shared_, .shared_again = &ignored};
    for (std::size_t r = 0; r < ranks; ++r) {
      ranks_.push_back(std::make_unique<Snapshot>(backend));
      state.ranks.push_back(ranks_.back().get());
    }
    visit(state);
  }

  void restore(const Visit& visit) const {
    SnapshotReader shared(backend_, shared_);
    std::vector<std::unique_ptr<SnapshotReader>> readers;
    TrainingState state{.shared = &shared, .shared_again = &shared};
    for (const auto& rank : ranks_) {
      readers.push_back(std::make_unique<SnapshotReader>(backend_, *rank));
      state.ranks.push_back(readers.back().get());
    }
    visit(state);
  }

 private:
  Backend& backend_;
  Snapshot shared_;
  std::vector<std::unique_ptr<Snapshot>> ranks_;
};

// Looks at the results of one rank's step as they come, and remembers the first that is not finite. All ranks
// number their looks alike, so the number of a look tells who was first.
class Examiner {
 public:
  Examiner(Backend& backend, LocalRank& rank, std::int64_t step)
      : backend_(backend), rank_(rank), layout_(rank.weights.layout()), rows_(rank.plan.share(step).count) {
    look_at(rank_.weights.data(), layout_.total_elements, "in the weights ");
    rank_.step.observe([this](StepPart part, int operation, Program& program) { after(part, operation, program); });
  }
  Examiner(const Examiner&) = delete;
  Examiner& operator=(const Examiner&) = delete;
  ~Examiner() { rank_.step.observe({}); }

  void after_average() {
    looks_ = kAverage;
    look_at(rank_.weights.data(), layout_.total_elements, "in the ranks' average of ");
  }

  static constexpr int kNever = std::numeric_limits<int>::max();
  int first() const { return first_; }
  const std::string& place() const { return place_; }

 private:
  // Looks that not every rank makes, and those after them.
  static constexpr int kExchange = 1'000'000, kUpdate = 2'000'000, kAverage = 3'000'000;

  void after(StepPart part, int operation, Program& program) {
    const LoweredNetwork& network = program.network();
    switch (part) {
      case StepPart::input:
        return look_at_rows(program, network.input, program.value(network.input), "in the images");
      case StepPart::forward:
        return after_forward(program, network.operations[static_cast<std::size_t>(operation)]);
      case StepPart::loss:
        look([&] { return rank_.step.take_sums().not_finite > 0; }, [] { return "in the loss"; });
        return look_at_rows(program, network.logits, program.logits_gradient(), "in the gradient of the logits");
      case StepPart::backward:
        return after_backward(program, network.operations[static_cast<std::size_t>(operation)]);
      case StepPart::exchange:
        looks_ = kExchange;
        return look_at(rank_.step.gradients(), layout_.trainable_elements, "in the ranks' mean of the gradient of ");
      case StepPart::update:
        looks_ = kUpdate;
        return look_at(rank_.weights.data(), layout_.total_elements, "in the update of ");
    }
  }

  void after_forward(Program& program, const LoweredOperation& operation) {
    const std::string place = "at the output of " + operation.name;
    const bool are_logits = operation.output == program.network().logits;
    if (are_logits) {  // fp32 rows, whatever the compute type
      const auto* logits = static_cast<const float*>(program.value(operation.output));
      look_at_values(logits, static_cast<std::size_t>(rows_ * program.network().classes), place);
    } else {
      look_at_rows(program, operation.output, program.value(operation.output), place);
    }
    for (const int statistics : {operation.running_mean, operation.running_variance}) {
      look_at_parameter(rank_.weights.data(), statistics, "in the statistics ");
    }
  }

  void after_backward(Program& program, const LoweredOperation& operation) {
    program.complete_gradients();
    for (const int weights : {operation.weights, operation.bias}) {
      if (weights >= 0 && !layout_.parameters[static_cast<std::size_t>(weights)].trainable()) continue;
      look_at_parameter(rank_.step.gradients(), weights, "in the gradient of ");
    }
    for (const int tensor : {operation.input, operation.residual}) {
      if (tensor < 0 || !program.network().tensors[static_cast<std::size_t>(tensor)].gradient) continue;
      look_at_rows(program, tensor, program.gradient(tensor), "in the gradient of the input of " + operation.name);
    }
  }

  template <typename IsBad, typename Place>
  void look(const IsBad& is_bad, const Place& place) {
    ++looks_;
    if (first_ != kNever || !is_bad()) return;
    first_ = looks_;
    place_ = place();
  }

  void look_at_values(const float* values, std::size_t count, const std::string& place) {
    look([&] { return backend_.first_not_finite(values, count) >= 0; }, [&] { return place; });
  }

  // Of an arena that lies as the weights do; the tensor's name follows on `place`.
  void look_at(const float* arena, std::size_t count, const char* place) {
    std::int64_t found = -1;
    look([&] { return (found = backend_.first_not_finite(arena, count)) >= 0; },
         [&] { return place + layout_.at(static_cast<std::size_t>(found)).name; });
  }
  void look_at_parameter(const float* arena, int index, const char* place) {
    if (index < 0) return;
    const Parameter& parameter = layout_.parameters[static_cast<std::size_t>(index)];
    look_at_values(arena + parameter.offset, parameter.count, place + parameter.name);
  }

  // An activation or its gradient: whatever type and layout it has. Rows beyond this rank's share are padding.
  void look_at_rows(const Program& program, int tensor, const void* data, const std::string& place) {
    const Extent& extent = program.network().tensors[static_cast<std::size_t>(tensor)].extent;
    look(
        [&] {
          const auto row = static_cast<std::size_t>(extent.elements());
          std::vector<float> values(static_cast<std::size_t>(program.batch()) * row);
          backend_.unpack_activation(program.batch(), extent, data, values.data());
          values.resize(static_cast<std::size_t>(rows_) * row);
          return !std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
        },
        [&] { return place; });
  }

  Backend& backend_;
  LocalRank& rank_;
  const ParamLayout& layout_;
  std::int64_t rows_;
  int looks_ = 0, first_ = kNever;
  std::string place_;
};

}  // namespace

std::string NanSearch::since(const std::vector<std::int64_t>& steps, std::int64_t finite_until) {
  auto state = std::make_unique<StateInMemory>(parts_.backend, parts_.ranks.size(), parts_.visit);
  const auto go_back = [&] {
    state->restore(parts_.visit);
    aimed_at_ = -1;
  };
  auto begin = steps.begin(), next = begin;
  for (bool is_finite = true; is_finite && next != steps.end() && *next < finite_until; ++next) {
    is_finite = take(*next);
    if (!parts_.goes_on()) return "";
  }
  if (next != begin && are_finite()) {
    state = std::make_unique<StateInMemory>(parts_.backend, parts_.ranks.size(), parts_.visit);
    begin = next;
  } else if (next != begin) {  // in weights that no loss depended on
    go_back();
    next = begin;
  }
  while (next != steps.end() && take(*next) && are_finite()) {
    if (!parts_.goes_on()) return "";
    ++next;
  }
  if (next == steps.end()) return "taken again, the steps since the last checkpoint gave finite numbers";
  go_back();
  for (auto again = begin; again != next; ++again) take(*again);
  const std::optional<Origin> origin = examine(*next);
  return fmt::format("it began in step {}{}", *next + 1, origin ? ", first " + in_words(*origin) : "");
}

std::string NanSearch::now(std::int64_t step) {
  const std::optional<Origin> origin = examine(step);
  return fmt::format("{}where it began takes a checkpoint before it to find out (--checkpoint-every)",
                     origin ? fmt::format("now first {}; ", in_words(*origin)) : "");
}

// False: the averager found weights that are not finite.
bool NanSearch::take(std::int64_t step) {
  if (step != aimed_at_ || step % parts_.ranks.front()->plan.steps_per_epoch() == 0) parts_.aim(step);
  aimed_at_ = step + 1;
  try {
    parts_.averager.step(step);
  } catch (const NotFinite&) {  // on all workers
    return false;
  }
  return true;
}

// The losses since the last look, and the weights, on all workers.
bool NanSearch::are_finite() {
  std::int64_t counts[] = {0};
  for (const auto& rank : parts_.ranks) {
    const Weights& weights = rank->weights;
    const bool has_losses = rank->step.take_sums().not_finite == 0;
    const bool has_weights = parts_.backend.first_not_finite(weights.data(), weights.layout().total_elements) < 0;
    if (!has_losses || !has_weights) ++counts[0];
  }
  parts_.communicator.sum(std::span<std::int64_t>(counts));
  return counts[0] == 0;
}

std::optional<NanSearch::Origin> NanSearch::examine(std::int64_t step) {
  std::vector<std::unique_ptr<Examiner>> examiners;
  for (const auto& rank : parts_.ranks) {
    rank->step.take_sums();  // of the steps before
    examiners.push_back(std::make_unique<Examiner>(parts_.backend, *rank, step));
  }
  take(step);
  std::string found;  // a line a rank
  for (const auto& examiner : examiners) {
    examiner->after_average();
    found += fmt::format("{} {}\n", examiner->first(), examiner->place());
  }
  int first = Examiner::kNever, rank = 0;
  Origin origin;
  for (const std::string& of_worker : parts_.communicator.gather(found)) {
    std::istringstream lines(of_worker);
    int look = 0;
    for (std::string place; lines >> look && lines.get() && std::getline(lines, place); ++rank) {
      if (look < first) origin = {place, {}};
      first = std::min(first, look);
      if (look == first) origin.ranks.push_back(rank);
    }
  }
  if (first == Examiner::kNever) return std::nullopt;
  return origin;
}

std::string NanSearch::in_words(const Origin& origin) const {
  const std::size_t all = parts_.ranks.size() * static_cast<std::size_t>(parts_.communicator.size());
  if (origin.ranks.size() == all) return origin.place;
  return fmt::format("{} on rank{} {}", origin.place, origin.ranks.size() == 1 ? "" : "s",
                     fmt::join(origin.ranks, ", "));
}

}  // namespace convoy
