// Nothing is left to compute beside the last bucket, so that it takes the communicator's way for such a case, and with
// it those for which that way is faster anyhow. Buckets lie side by side, so that one call makes means of all sums.
#include "train/bucketed_average.hpp"

#include <algorithm>
#include <utility>

namespace convoy {
namespace {

// Their union, once all that lies between them is in one of them.
FloatRange together(const FloatRange& a, const FloatRange& b) {
  if (a.count == 0) return b;
  return {std::min(a.data, b.data), a.count + b.count};
}

}  // namespace

FloatRange BucketedAverage::sum_of_this_worker(const GradientBucket& bucket) {
  float* sum = group_.ranks.front()->step.gradients() + bucket.offset;
  for (std::size_t r = 1; r < group_.ranks.size(); ++r) {
    backend_.add_scaled(sum, 1, group_.ranks[r]->step.gradients() + bucket.offset, bucket.count);
  }
  return {sum, bucket.count};
}

void BucketedAverage::begin(const GradientBucket& bucket) {
  const FloatRange range = sum_of_this_worker(bucket);
  if (group_.workers->is_faster_joined(range)) {
    postponed_ = together(postponed_, range);
  } else {
    started_.push_back({range, group_.workers->average(range)});
  }
}

void BucketedAverage::finish(const GradientBucket& last) {
  const FloatRange rest = together(std::exchange(postponed_, {}), sum_of_this_worker(last));
  FloatRange undivided;
  for (const Started& started : started_) {
    group_.workers->join(started.pending);
    undivided = together(undivided, started.range);
  }
  started_.clear();
  const float left = group_.workers->average_and_join(rest, group_.share());
  if (left != 1) undivided = together(undivided, rest);
  if (undivided.count > 0) backend_.scale(undivided.data, group_.share(), undivided.count);
}

}  // namespace convoy
