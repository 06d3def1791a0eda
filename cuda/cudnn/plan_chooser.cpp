#include "cudnn/plan_chooser.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "check.hpp"
#include "convoy/error.hpp"
#include "cudnn/tuner.hpp"

namespace convoy::cuda::cudnn {
namespace {

std::string current_device() {
  int device = 0, driver = 0;
  cudaDeviceProp properties{};
  CHECK_CUDA(cudaGetDevice(&device));
  CHECK_CUDA(cudaGetDeviceProperties(&properties, device));
  CHECK_CUDA(cudaDriverGetVersion(&driver));
  return fmt::format("{}, {}.{}, {}; cuDNN {}, driver {}", properties.name, properties.major, properties.minor,
                     properties.multiProcessorCount, cudnnGetVersion(), driver);
}

// Raised with what `build` makes of a convolution: a text of another graph would be taken for this one's.
constexpr int kGraph = 1;

std::string key_of(const Convolution& c, const Rules& rules, const std::string& device) {
  return fmt::format("graph {}: {}; stride {}x{}, padding {},{},{},{}{}{}; {} bytes of workspace{}{}; {}", kGraph,
                     describe(c), c.stride.height, c.stride.width, c.padding.top, c.padding.bottom, c.padding.left,
                     c.padding.right, c.bias ? ", bias" : "", c.relu ? ", relu" : "", rules.workspace_limit,
                     rules.tf32 ? ", tf32" : "", rules.deterministic ? ", deterministic" : "", device);
}

// Nothing where cuDNN has no text for the plan: then it is chosen anew each time.
std::optional<std::string> text_of(const Plan& plan) {
  try {
    return plan.text();
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

PlanChooser::PlanChooser(cudnnHandle_t handle, ChooseBy by, PlanCache cache)
    : handle_(handle), target_(handle), by_(by), cache_(std::move(cache)), device_(current_device()) {}

Plan PlanChooser::choose(const Convolution& convolution, const Rules& rules) {
  const std::string key = key_of(convolution, rules, device_);
  if (const auto known = choices_.find(key); known != choices_.end()) {
    if (auto plan = Plan::from_text(known->second, convolution, target_)) return std::move(*plan);
    choices_.erase(known);
  }
  if (by_ == ChooseBy::measurement) {
    if (const auto text = cache_.find(key)) {
      if (auto plan = Plan::from_text(*text, convolution, target_)) {
        choices_[key] = *text;
        return std::move(*plan);
      }
    }
  }
  Plan plan = choose_anew(convolution, rules);
  if (const auto text = text_of(plan)) {
    choices_[key] = *text;
    if (by_ == ChooseBy::measurement) cache_.keep(key, *text);
  }
  return plan;
}

Plan PlanChooser::choose_anew(const Convolution& convolution, const Rules& rules) const {
  return by_ == ChooseBy::measurement ? fastest_plan(convolution, rules, handle_) : Plan(convolution, rules, target_);
}

void PlanChooser::prefer(const Choices& choices) {
  for (const auto& [key, text] : choices) choices_[key] = text;
}

}  // namespace convoy::cuda::cudnn
