// What changes from one step to the next, as the recorded step reads it from device memory.
// The trainer writes one row per step of an epoch; Backend::begin_step makes the next row the current one.
#pragma once

#include <cstdint>
#include <type_traits>

namespace convoy {

constexpr int kMaxGroups = 16;  // parameter groups with a rate of their own

struct StepRow {
  std::uint64_t seed = 0;
  std::int64_t step = 0;                  // optimizer steps taken before this one
  std::int32_t epoch = 0;                 // keys augmentation and dropout
  std::int32_t first = 0;                 // this rank's first position in the epoch's order
  std::int32_t count = 0;                 // valid samples; rows beyond are padding: no loss, no gradient
  float loss_weight = 1.0F;               // multiplies each sample's gradient: N / global batch, or N for summed loss
  float learning_rates[kMaxGroups] = {};  // by parameter group
};
static_assert(std::is_trivially_copyable_v<StepRow>);

}  // namespace convoy
