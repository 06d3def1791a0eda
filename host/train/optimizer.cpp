// Parameter groups -> update specs and rates.
#include "train/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "convoy/error.hpp"

namespace convoy {
namespace {

// Settings that make two groups one update; their rates and decays stay apart.
template <typename Spec>
Spec& spec_like(std::vector<UpdateSpec>& specs, const Spec& wanted) {
  const auto is_same = [&](const Spec& other) {
    if constexpr (std::is_same_v<Spec, SgdSpec>) {
      return other.momentum == wanted.momentum && other.nesterov == wanted.nesterov &&
             other.decoupled == wanted.decoupled;
    } else if constexpr (std::is_same_v<Spec, AdamSpec>) {
      return other.beta1 == wanted.beta1 && other.beta2 == wanted.beta2 && other.epsilon == wanted.epsilon &&
             other.decoupled == wanted.decoupled && other.keras_epsilon == wanted.keras_epsilon;
    } else {
      return other.momentum == wanted.momentum && other.nesterov == wanted.nesterov &&
             other.iterations == wanted.iterations;
    }
  };
  for (UpdateSpec& spec : specs) {
    if (Spec* other = std::get_if<Spec>(&spec); other != nullptr && is_same(*other)) return *other;
  }
  return std::get<Spec>(specs.emplace_back(wanted));
}

void add_range(std::vector<UpdateRange>& ranges, const Parameter& parameter, float weight_decay) {
  // The padding behind a tensor is zero and stays so under every update; taking it along makes ranges longer.
  const std::size_t count = align_up(parameter.count * sizeof(float)) / sizeof(float);
  if (!ranges.empty()) {
    UpdateRange& last = ranges.back();
    const bool continues = last.offset + last.count == parameter.offset && last.group == parameter.group &&
                           last.weight_decay == weight_decay;
    if (continues) {
      last.count += count;
      return;
    }
  }
  ranges.push_back({parameter.offset, count, parameter.group, weight_decay});
}

}  // namespace

std::vector<UpdateSpec> update_specs(const ParamLayout& layout, const RunConfig& config,
                                     const std::function<bool(const Parameter&)>& frozen) {
  std::vector<UpdateSpec> specs;
  for (const Parameter& parameter : layout.parameters) {
    if (!parameter.trainable() || frozen(parameter)) continue;
    const GroupSettings group = config.group(layout.groups[parameter.group]);
    const auto weight_decay = static_cast<float>(group.weight_decay);
    switch (group.optimizer) {
      case OptimizerKind::sgd: {
        const SgdSpec wanted{.ranges = {},
                             .momentum = static_cast<float>(group.momentum),
                             .nesterov = group.nesterov,
                             .decoupled = group.decoupled};
        add_range(spec_like(specs, wanted).ranges, parameter, weight_decay);
        break;
      }
      case OptimizerKind::adam:
      case OptimizerKind::adamw: {
        const AdamSpec wanted{.ranges = {},
                              .beta1 = static_cast<float>(group.beta1),
                              .beta2 = static_cast<float>(group.beta2),
                              .epsilon = static_cast<float>(group.epsilon),
                              .decoupled = group.decoupled || group.optimizer == OptimizerKind::adamw,
                              .keras_epsilon = group.keras_epsilon};
        add_range(spec_like(specs, wanted).ranges, parameter, weight_decay);
        break;
      }
      case OptimizerKind::muon: {
        if (parameter.shape.size() < 2) {
          fail_usage(
              "parameter '{}' of group '{}' is no matrix, so Muon cannot train it; give the group another "
              "optimizer in the recipe, e.g. [groups.{}] optimizer = \"sgd\"",
              parameter.name, layout.groups[parameter.group], layout.groups[parameter.group]);
        }
        const MuonSpec wanted{.matrices = {},
                              .momentum = static_cast<float>(group.momentum),
                              .nesterov = group.nesterov,
                              .iterations = group.muon_iterations};
        const auto rows = static_cast<int>(parameter.shape[0]);
        spec_like(specs, wanted)
            .matrices.push_back({parameter.offset, rows,
                                 static_cast<int>(parameter.count / static_cast<std::size_t>(rows)), parameter.group,
                                 weight_decay});
        break;
      }
    }
  }
  return specs;
}

GroupRate rate_of(const GroupSettings& settings, std::int64_t steps_per_epoch) {
  const auto steps = [&](double epochs) -> std::int64_t {
    return std::llround(epochs * static_cast<double>(steps_per_epoch));
  };
  // Less than a step is one: no step at all would read as no end.
  const std::int64_t until = settings.until_epoch > 0 ? std::max<std::int64_t>(1, steps(settings.until_epoch)) : 0;
  return {settings.learning_rate,
          {.kind = settings.schedule,
           .start = settings.schedule_start,
           .peak = settings.schedule_peak,
           .end = settings.schedule_end,
           .warmup_steps = settings.warmup_steps + steps(settings.warmup_epochs),
           .until = until}};
}

double rate_at(const GroupRate& rate, std::int64_t step, std::int64_t total_steps) {
  return rate.learning_rate * rate_factor(rate.schedule, step, total_steps);
}

std::vector<GroupRate> group_rates(const ParamLayout& layout, const RunConfig& config, std::int64_t steps_per_epoch) {
  std::vector<GroupRate> rates;
  for (const std::string& group_name : layout.groups)
    rates.push_back(rate_of(config.group(group_name), steps_per_epoch));
  return rates;
}

void fill_rates(const std::vector<GroupRate>& groups, std::int64_t step, std::int64_t total_steps, StepRow& row) {
  for (std::size_t group = 0; group < groups.size(); ++group) {
    row.learning_rates[group] = static_cast<float>(rate_at(groups[group], step, total_steps));
  }
}

int moments_needed(const ParamLayout& layout, const RunConfig& config) {
  int needed = 0;
  for (const std::string& group_name : layout.groups) {
    const GroupSettings group = config.group(group_name);
    const bool is_adam = group.optimizer == OptimizerKind::adam || group.optimizer == OptimizerKind::adamw;
    const bool has_momentum = group.optimizer == OptimizerKind::muon || group.momentum != 0;
    needed = std::max(needed, is_adam ? 2 : has_momentum ? 1 : 0);
  }
  return needed;
}

Optimizer::Optimizer(Backend& backend, const std::vector<UpdateSpec>& specs) {
  for (const UpdateSpec& spec : specs) {
    updates_.push_back(backend.plan(spec));
    workspace_bytes_ = std::max(workspace_bytes_, updates_.back()->workspace_bytes());
  }
}

void Optimizer::enqueue(const UpdateOperands& operands) {
  for (const std::unique_ptr<Update>& update : updates_) update->enqueue(operands);
}

}  // namespace convoy
