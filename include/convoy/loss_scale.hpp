// The dynamic loss scale of training in fp16 (Micikevicius et al. 2018), in device memory: a recorded step multiplies
// the gradient of the loss by it, and has no update where gradients are not finite. PyTorch's and Apex's constants.
#pragma once

#include <cmath>
#include <cstddef>

#include "convoy/philox.hpp"

namespace convoy {

// Powers of two, so that scaling rounds nothing but what leaves fp16's range. Where gradients are not finite even at
// the least, their size is not the reason: the update is made, and the weights that come of it are noticed as of any
// run (--on-nan).
constexpr float kFirstLossScale = 0x1p16F, kLeastLossScale = 0x1p-16F, kMostLossScale = 0x1p24F;
constexpr int kLossScaleGrowth = 2000;  // finite steps in a row, after which it doubles

struct LossScale {
  // A rank's state. Counts are fp32, exact up to 2^24: a checkpoint keeps them, and other numbers of ranks take their
  // mean, as of the moments; of the scales see scale_of_mean.
  float scale = kFirstLossScale;
  float finite_steps = 0;  // in a row, since it doubled
  float skipped = 0;       // steps without an update, so far

  int growth = kLossScaleGrowth;
  bool skips = false;  // the current step has no update
};
constexpr std::size_t kLossScaleState = 3;  // floats, its first members
static_assert(offsetof(LossScale, growth) == kLossScaleState * sizeof(float));

// Whether the current step has no update; null: no loss scale.
CONVOY_HOST_DEVICE constexpr bool skips_update(const LossScale* loss_scale) {
  return loss_scale != nullptr && loss_scale->skips;
}

// After every step's backward pass.
CONVOY_HOST_DEVICE constexpr void judge(LossScale& loss_scale, bool are_gradients_finite) {
  loss_scale.skips = !are_gradients_finite && loss_scale.scale > kLeastLossScale;
  loss_scale.finite_steps = are_gradients_finite ? loss_scale.finite_steps + 1 : 0;
  if (loss_scale.skips) {
    ++loss_scale.skipped;
    loss_scale.scale = loss_scale.scale / 2 > kLeastLossScale ? loss_scale.scale / 2 : kLeastLossScale;
  }
  if (loss_scale.finite_steps < static_cast<float>(loss_scale.growth)) return;
  loss_scale.finite_steps = 0;
  loss_scale.scale = 2 * loss_scale.scale < kMostLossScale ? 2 * loss_scale.scale : kMostLossScale;
}

// What a run goes on with from the mean of several ranks' scales: a power of two again, the next below, since above the
// mean some rank's gradients have overflowed; where there is room it grows by itself.
inline float scale_of_mean(float mean) { return std::ldexp(1.0F, std::ilogb(mean)); }

}  // namespace convoy
