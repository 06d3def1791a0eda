// Nothing is left to compute beside the last bucket, so that it takes the communicator's way for such a case. Buckets
// lie side by side, so that one call makes means of all sums.
#include "train/bucketed_average.hpp"

#include <algorithm>

namespace convoy {

FloatRange BucketedAverage::sum_of_this_worker(const GradientBucket& bucket) {
  float* sum = group_.ranks.front()->step.gradients() + bucket.offset;
  for (std::size_t r = 1; r < group_.ranks.size(); ++r) {
    backend_.add_scaled(sum, 1, group_.ranks[r]->step.gradients() + bucket.offset, bucket.count);
  }
  return {sum, bucket.count};
}

void BucketedAverage::begin(const GradientBucket& bucket) {
  const FloatRange range = sum_of_this_worker(bucket);
  started_.push_back({range, group_.workers->average(range)});
}

void BucketedAverage::finish(const GradientBucket& last) {
  const FloatRange range = sum_of_this_worker(last);
  FloatRange all = range;
  for (const Started& started : started_) {
    group_.workers->join(started.pending);
    all = {std::min(all.data, started.range.data), all.count + started.range.count};
  }
  started_.clear();
  group_.workers->average_and_join(range);
  backend_.scale(all.data, group_.share(), all.count);
}

}  // namespace convoy
