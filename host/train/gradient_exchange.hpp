// Gradients on their way from the backward pass to the update: cut into buckets, contiguous ranges of the gradient
// arena in the order in which the pass completes them, so that each can leave while the pass goes on.
#pragma once

#include <cstddef>
#include <vector>

#include "nn/lower.hpp"
#include "nn/parameters.hpp"

namespace convoy {

struct GradientBucket {
  std::size_t offset = 0, count = 0;  // elements of the gradient arena
  int operation = 0;                  // of the lowered network: complete after its weight gradients
};

// Every trainable element once, padding and frozen tensors too; at least `least_bytes` each but for the last, whole
// tensors. 0 makes one bucket. By completion, the same on all ranks.
std::vector<GradientBucket> gradient_buckets(const ParamLayout& layout, const LoweredNetwork& network,
                                             std::size_t least_bytes);

// Called while a step is recorded: enqueues, never waits for the device.
class GradientExchange {
 public:
  GradientExchange() = default;
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;
  virtual ~GradientExchange() = default;

  // Whether begin and finish may be part of a recorded step; else all gradients are one bucket, exchanged outside.
  virtual bool can_be_recorded() const { return true; }
  // This bucket is complete on this rank; the backward pass goes on.
  virtual void begin(const GradientBucket& bucket) = 0;
  // So is the last one; all become what the update takes.
  virtual void finish(const GradientBucket& last) = 0;
};

}  // namespace convoy
