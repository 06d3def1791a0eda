// The optimizer of a run: which update every parameter gets, its moments, and the rates of every step.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "convoy/backend.hpp"
#include "nn/parameters.hpp"
#include "nn/schedule.hpp"
#include "train/run_config.hpp"

namespace convoy {

// The updates as specs, consecutive parameters of equal settings merged. Frozen parameters (predicate) are left out.
// Muon needs matrices: other parameters of a Muon group are a UsageError naming parameter and group.
std::vector<UpdateSpec> update_specs(const ParamLayout& layout, const RunConfig& config,
                                     const std::function<bool(const Parameter&)>& frozen);

// By group: the settings and schedule in force. `steps_per_epoch` turns epochs into steps.
struct GroupRate {
  double learning_rate = 0;
  Schedule schedule;
};
GroupRate rate_of(const GroupSettings& settings, std::int64_t steps_per_epoch);
double rate_at(const GroupRate& rate, std::int64_t step, std::int64_t total_steps);
std::vector<GroupRate> group_rates(const ParamLayout& layout, const RunConfig& config, std::int64_t steps_per_epoch);
void fill_rates(const std::vector<GroupRate>& groups, std::int64_t step, std::int64_t total_steps, StepRow& row);

// How many moments of a weight the configuration's optimizers keep: 0, 1 (momentum) or 2.
int moments_needed(const ParamLayout& layout, const RunConfig& config);

// The updates of one recorded step.
class Optimizer {
 public:
  Optimizer(Backend& backend, const std::vector<UpdateSpec>& specs);
  std::size_t workspace_bytes() const { return workspace_bytes_; }
  void enqueue(const UpdateOperands& operands);

 private:
  std::vector<std::unique_ptr<Update>> updates_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace convoy
