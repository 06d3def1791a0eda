// Which plan each pass of a convolution gets.
#pragma once

#include <cstdint>
#include <string>

#include "convoy/backend.hpp"
#include "cudnn/plan.hpp"
#include "cudnn/plan_cache.hpp"

namespace convoy::cuda::cudnn {

// What tells the fastest: cuDNN's guess, or how long the first of its guesses take.
enum class ChooseBy : std::uint8_t { guess, measurement };

class PlanChooser {
 public:
  // For the device that is current. `cache` serves measurements alone.
  PlanChooser(cudnnHandle_t, ChooseBy, PlanCache cache);

  // The plan that was chosen for this pass before, or was told to be; else the cache's; else a new choice.
  Plan choose(const Convolution&, const Rules&);

  // Plans as texts, each under all that it depends on: pass, rules, kind of GPU, version of cuDNN, driver.
  const Choices& choices() const { return choices_; }
  void prefer(const Choices&);

 private:
  Plan choose_anew(const Convolution&, const Rules&) const;

  cudnnHandle_t handle_;
  Target target_;
  ChooseBy by_;
  PlanCache cache_;
  std::string device_;  // the keys' last part
  Choices choices_;
};

}  // namespace convoy::cuda::cudnn
