// The table of policies.
#include "train/averaging_policy.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "convoy/error.hpp"
#include "io/named_numbers.hpp"

namespace convoy {

struct AveragingPolicy::Row {
  NamedForm form;
  Exchange exchange;  // what is exchanged where `is_due`
  bool (*is_due)(const PolicyStep&, std::span<const double> values);
  bool trains_apart;  // until the end
  std::string_view warning;
};

namespace {

bool is_never(const PolicyStep&, std::span<const double>) { return false; }
bool is_always(const PolicyStep&, std::span<const double>) { return true; }
bool is_end(const PolicyStep& at, std::span<const double>) { return at.step + 1 == at.last_step; }
bool is_epoch_end(const PolicyStep& at, std::span<const double>) {
  return (at.step + 1) % at.steps_per_epoch == 0 || is_end(at, {});
}
bool is_kth(const PolicyStep& at, std::span<const double> values) {
  return static_cast<double>(at.since_average) >= values[0] || is_end(at, {});
}

// Every step until an epoch, then every K steps.
bool is_post_local(const PolicyStep& at, std::span<const double> values) {
  const bool is_early = static_cast<double>(at.step) < values[0] * static_cast<double>(at.steps_per_epoch);
  return is_early || is_kth(at, values.subspan(1));
}

// The period is (C / learning rate)^2, and at least K.
bool is_quadratic(const PolicyStep& at, std::span<const double> values) {
  const double period = at.learning_rate > 0 ? std::pow(values[0] / at.learning_rate, 2) : INFINITY;
  return static_cast<double>(at.since_average) >= std::max(std::floor(period), values[1]) || is_end(at, {});
}

constexpr std::string_view kOneAverage =
    "ranks that only meet at the end have gone apart: expect the averaged model near chance, and use --average epoch "
    "or step for a good one";

constexpr AveragingPolicy::Row kPolicies[] = {
    {{"never", ""},
     Exchange::nothing,
     is_never,
     true,
     "ranks never meet: the average that is evaluated is near chance"},
    {{"end", ""}, Exchange::weights, is_end, true, kOneAverage},
    {{"epoch", ""}, Exchange::weights, is_epoch_end, false, ""},
    {{"every", "K"}, Exchange::weights, is_kth, false, ""},
    {{"step", ""}, Exchange::gradients, is_always, false, ""},
    {{"post-local", "EPOCH,K"}, Exchange::weights, is_post_local, false, ""},
    {{"quadratic", "C,K"}, Exchange::weights, is_quadratic, false, ""},
};

}  // namespace

std::string averaging_policies() { return usages(forms_of(kPolicies)); }

AveragingPolicy AveragingPolicy::parse(std::string_view text) {
  NamedNumbers named = parse_named_numbers(text, forms_of(kPolicies));
  AveragingPolicy policy;
  policy.text_ = text;
  policy.row_ = &kPolicies[named.form];
  policy.values_ = std::move(named.numbers);
  const bool has_period = policy.row_->form.arguments.ends_with("K");
  if (has_period && (policy.values_.back() < 1 || policy.values_.back() != std::floor(policy.values_.back()))) {
    fail_usage("{}: K is a whole number of steps from 1, {} found", usage(policy.row_->form), policy.values_.back());
  }
  return policy;
}

Exchange AveragingPolicy::at(const PolicyStep& step) const {
  return row_->is_due(step, values_) ? row_->exchange : Exchange::nothing;
}

bool AveragingPolicy::ever_averages_gradients() const { return row_->exchange == Exchange::gradients; }

bool AveragingPolicy::makes_local_steps() const {
  return !ever_averages_gradients() && !(row_->form.name == "every" && values_.front() == 1);
}

bool AveragingPolicy::trains_apart() const { return row_->trains_apart; }

std::string AveragingPolicy::warning() const { return std::string(row_->warning); }

}  // namespace convoy
