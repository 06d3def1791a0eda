// What the world makes of an average of weights (--outer): it takes the average as it is, or makes a step towards it
// with a momentum of its own. Every rank computes the same.
#pragma once

#include <cstddef>

#include "convoy/backend.hpp"
#include "train/checkpoint/state_visitor.hpp"
#include "train/run_config.hpp"

namespace convoy {

// x: the outer iterate, where the ranks last started from; d = x - average: the outer gradient.
// slowmo (Wang et al. 2020):      v <- beta (rate / last rate) v + d;  x <- x - alpha v      (v is their rate * u)
// nesterov (Douillard et al. 2023): v <- mu v + d;                      x <- x - eta (d + mu v)
class OuterOptimizer {
 public:
  // `count` elements from `first`, where all ranks start.
  OuterOptimizer(Backend& backend, const AveragingSettings& settings, const float* first, std::size_t count);

  // The average over the ranks becomes where they go on from. `learning_rate`: the inner optimizer's, of this step.
  void step(float* average, double learning_rate);

  void visit_state(StateVisitor& state);
  void start_from(const float* first);  // as the constructor; the momentum stays

 private:
  Backend& backend_;
  OuterKind kind_;
  double learning_rate_, momentum_;
  std::size_t count_;
  Arena iterate_, velocity_;
  double last_inner_rate_ = 0;
};

}  // namespace convoy
