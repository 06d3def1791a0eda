// Steps, rows and variants of a run.
#include "train/plan.hpp"

#include <algorithm>

#include "convoy/error.hpp"

namespace convoy {

StepPlan::StepPlan(const RunConfig& config, const ParamLayout& layout, std::int64_t positions, int rank, int world_size)
    : config_(config),
      positions_(positions),
      steps_per_epoch_((positions_ + config.batch - 1) / config.batch),
      rank_(rank),
      world_size_(world_size) {
  CONVOY_CHECK(positions_ > 0, "{}: no training images", config.data);
  rates_ = group_rates(layout, config, steps_per_epoch_);
  run_rate_ = rate_of(config.optimizer, steps_per_epoch_);
  for (const GroupRate& rate : rates_) {
    if (rate.schedule.warmup_steps > scheduled_steps()) {
      fail_usage("warmup-steps: a warm-up of {} steps is longer than the run of {}", rate.schedule.warmup_steps,
                 scheduled_steps());
    }
  }
}

std::int64_t StepPlan::last_step() const { return config_.steps_to_take(steps_per_epoch_); }

std::int64_t StepPlan::global_images(std::int64_t step) const {
  const std::int64_t first = step % steps_per_epoch_ * config_.batch;
  return std::min<std::int64_t>(config_.batch, positions_ - first);
}

std::int64_t StepPlan::images() const {
  const std::int64_t whole_epochs = last_step() / steps_per_epoch_;
  return whole_epochs * positions_ + last_step() % steps_per_epoch_ * config_.batch;
}

std::vector<StepRow> StepPlan::rows(int epoch) const {
  std::vector<StepRow> rows(static_cast<std::size_t>(steps_per_epoch_));
  for (std::int64_t i = 0; i < steps_per_epoch_; ++i) {
    StepRow& row = rows[static_cast<std::size_t>(i)];
    row.seed = config_.seed;
    row.step = epoch * steps_per_epoch_ + i;
    row.epoch = epoch;
    const std::int64_t global = global_images(row.step);
    const Share part = share(row.step);
    row.first = static_cast<std::int32_t>(part.first);
    row.count = static_cast<std::int32_t>(part.count);
    row.loss_weight = config_.loss_reduction == LossReduction::sum
                          ? static_cast<float>(world_size_)
                          : static_cast<float>(static_cast<double>(world_size_) / static_cast<double>(global));
    fill_rates(rates_, row.step, scheduled_steps(), row);
  }
  return rows;
}

Share StepPlan::share(std::int64_t step) const {
  return share_of(step % steps_per_epoch_ * config_.batch, global_images(step), rank_, world_size_);
}

StepVariant StepPlan::variant(std::int64_t step) const {
  StepVariant variant;
  // The largest share, so that all ranks replay the same kind.
  variant.batch = static_cast<int>(share_of(0, global_images(step), 0, world_size_).count);
  for (std::size_t group = 0; group < rates_.size(); ++group) {
    const std::int64_t until = rates_[group].schedule.until;
    if (until > 0 && step >= until) variant.frozen_groups.insert(static_cast<int>(group));
  }
  return variant;
}

std::vector<StepVariant> StepPlan::variants() const {
  std::vector<StepVariant> variants;
  for (std::int64_t step = 0; step < last_step(); ++step) {
    StepVariant next = variant(step);
    if (std::find(variants.begin(), variants.end(), next) == variants.end()) variants.push_back(std::move(next));
  }
  return variants;
}

double StepPlan::learning_rate(std::int64_t step) const { return rate_at(run_rate_, step, scheduled_steps()); }

}  // namespace convoy
