// --average step: the mean of a group's gradients, bucket by bucket while the backward pass of its last rank to come
// goes on. Every element is the same sum as in one collective, over the ranks in their order.
#pragma once

#include <cstddef>
#include <vector>

#include "train/gradient_exchange.hpp"
#include "train/rank_group.hpp"

namespace convoy {

// Of the group's first rank; the gradients of its other ranks on this worker are complete when the first one's backward
// pass begins. The mean is the first rank's alone: share_first gives it to the others.
class BucketedAverage final : public GradientExchange {
 public:
  // `group` outlives it.
  BucketedAverage(Backend& backend, const RankGroup& group) : backend_(backend), group_(group) {}

  bool can_be_recorded() const override { return group_.workers->can_be_recorded(); }
  void begin(const GradientBucket& bucket) override;
  void finish(const GradientBucket& last) override;

 private:
  struct Started {
    FloatRange range;
    Pending pending;
  };
  FloatRange sum_of_this_worker(const GradientBucket& bucket);

  Backend& backend_;
  const RankGroup& group_;
  // In this step:
  std::vector<Started> started_;
  FloatRange postponed_;  // to the last
};

}  // namespace convoy
