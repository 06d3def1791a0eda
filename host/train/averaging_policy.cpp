// The table of policies.
#include "train/averaging_policy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <span>

#include "convoy/error.hpp"
#include "io/did_you_mean.hpp"

namespace convoy {

struct AveragingPolicy::Row {
  std::string_view name;
  std::string_view arguments;  // as the usage shows them, separated by commas
  Exchange exchange;           // what is exchanged where `is_due`
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
    {"never", "", Exchange::nothing, is_never, true, "ranks never meet: the average that is evaluated is near chance"},
    {"end", "", Exchange::weights, is_end, true, kOneAverage},
    {"epoch", "", Exchange::weights, is_epoch_end, false, ""},
    {"every", "K", Exchange::weights, is_kth, false, ""},
    {"step", "", Exchange::gradients, is_always, false, ""},
    {"post-local", "EPOCH,K", Exchange::weights, is_post_local, false, ""},
    {"quadratic", "C,K", Exchange::weights, is_quadratic, false, ""},
};

std::string usage(const AveragingPolicy::Row& row) {
  return row.arguments.empty() ? std::string(row.name) : fmt::format("{}:{}", row.name, row.arguments);
}

std::vector<double> read_numbers(std::string_view text, const AveragingPolicy::Row& row) {
  std::vector<double> values;
  const auto expected =
      static_cast<std::size_t>(std::ranges::count(row.arguments, ',')) + (row.arguments.empty() ? 0 : 1);
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    double value = 0;
    const std::from_chars_result result = std::from_chars(text.data(), text.data() + comma, value);
    const bool is_number = result.ec == std::errc{} && result.ptr == text.data() + comma;
    if (!is_number || !std::isfinite(value) || value < 0) {
      fail_usage("{} expected, '{}' found", usage(row), text.substr(0, comma));
    }
    values.push_back(value);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  if (values.size() != expected) fail_usage("{} expected, {} numbers found", usage(row), values.size());
  const bool has_period = row.arguments.ends_with("K");
  if (has_period && (values.back() < 1 || values.back() != std::floor(values.back()))) {
    fail_usage("{}: K is a whole number of steps from 1, {} found", usage(row), values.back());
  }
  return values;
}

}  // namespace

std::string averaging_policies() {
  std::vector<std::string> usages;
  for (const AveragingPolicy::Row& row : kPolicies) usages.push_back(usage(row));
  return fmt::format("{}", fmt::join(usages, "|"));
}

AveragingPolicy AveragingPolicy::parse(std::string_view text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  const std::string_view name = text.substr(0, colon);
  std::vector<std::string_view> names;
  for (const Row& row : kPolicies) {
    names.push_back(row.name);
    if (row.name != name) continue;
    AveragingPolicy policy;
    policy.text_ = text;
    policy.row_ = &row;
    policy.values_ = read_numbers(text.substr(std::min(colon + 1, text.size())), row);
    return policy;
  }
  fail_usage("one of {} expected, '{}' found{}", averaging_policies(), text, did_you_mean(name, names));
}

Exchange AveragingPolicy::at(const PolicyStep& step) const {
  return row_->is_due(step, values_) ? row_->exchange : Exchange::nothing;
}

bool AveragingPolicy::ever_averages_gradients() const { return row_->exchange == Exchange::gradients; }

bool AveragingPolicy::makes_local_steps() const {
  return !ever_averages_gradients() && !(row_->name == "every" && values_.front() == 1);
}

bool AveragingPolicy::trains_apart() const { return row_->trains_apart; }

std::string AveragingPolicy::warning() const { return std::string(row_->warning); }

}  // namespace convoy
