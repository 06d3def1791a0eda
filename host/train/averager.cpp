// First the sum of this worker's ranks, then one collective over the workers, then the mean back to each.
#include "train/averager.hpp"

#include <cmath>
#include <span>

namespace convoy {

Averager::Averager(Backend& backend, Communicator& communicator, const AveragingPolicy& policy,
                   std::vector<std::unique_ptr<LocalRank>>& ranks)
    : backend_(backend),
      communicator_(communicator),
      policy_(policy),
      ranks_(ranks),
      world_size_(ranks.size() * static_cast<std::size_t>(communicator.size())) {
  if (world_size_ > 1) averaged_.emplace(backend, ranks.front()->weights.layout(), "averaged weights");
}

// The first range becomes the mean over all ranks; one range a local rank.
void Averager::mean_into_first(const std::vector<float*>& ranges, std::size_t count) {
  float* mean = ranges.front();
  for (std::size_t r = 1; r < ranges.size(); ++r) backend_.add(mean, ranges[r], count);
  communicator_.join(communicator_.average({mean, count}));
  backend_.scale(mean, 1.0F / static_cast<float>(world_size_), count);
}

void Averager::average(const std::vector<float*>& ranges, std::size_t count) {
  mean_into_first(ranges, count);
  for (std::size_t r = 1; r < ranges.size(); ++r) backend_.copy(ranges[r], ranges.front(), count * sizeof(float));
}

void Averager::step(std::int64_t step) {
  const StepPlan& plan = ranks_.front()->plan;
  const StepVariant variant = plan.variant(step);
  ++since_average_;
  const Exchange exchange = policy_.at({.step = step,
                                        .steps_per_epoch = plan.steps_per_epoch(),
                                        .last_step = plan.last_step(),
                                        .since_average = since_average_,
                                        .learning_rate = plan.learning_rate(step)});
  if (world_size_ == 1 || exchange != Exchange::gradients) {
    for (const auto& rank : ranks_) rank->step.run(variant);
  } else {
    std::vector<float*> gradients;
    for (const auto& rank : ranks_) {
      rank->step.run_gradients(variant);
      gradients.push_back(rank->step.gradients());
    }
    average(gradients, ranks_.front()->weights.layout().trainable_elements);
    for (const auto& rank : ranks_) rank->step.run_update(variant);
  }
  if (exchange == Exchange::weights) average_weights();
  if (exchange != Exchange::nothing) since_average_ = 0;
}

void Averager::average_weights() {
  if (world_size_ == 1) return;
  const ParamLayout& layout = ranks_.front()->weights.layout();
  std::vector<float*> weights;
  double squares[] = {0};  // summed over the ranks
  for (const auto& rank : ranks_) {
    weights.push_back(rank->weights.data());
    squares[0] += backend_.sum_of_squares(rank->weights.data(), layout.trainable_elements);
    rank->weights.touch();
  }
  communicator_.sum(std::span<double>(squares));
  average(weights, layout.communicated_elements);
  // The mean of ||w_r - mean||^2 is the mean of ||w_r||^2 less ||mean||^2.
  const double mean = backend_.sum_of_squares(weights.front(), layout.trainable_elements);
  distance_ = std::sqrt(std::max(0.0, squares[0] / static_cast<double>(world_size_) - mean) / mean);
}

const Weights& Averager::averaged() {
  if (world_size_ == 1) return ranks_.front()->weights;
  averaged_->copy_from(ranks_.front()->weights);
  std::vector<float*> ranges = {averaged_->data()};
  for (std::size_t r = 1; r < ranks_.size(); ++r) ranges.push_back(ranks_[r]->weights.data());
  mean_into_first(ranges, averaged_->layout().communicated_elements);
  averaged_->touch();
  return *averaged_;
}

}  // namespace convoy
