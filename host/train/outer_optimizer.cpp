// Few passes over few megabytes, once per average: written in the backend's arena arithmetic.
#include "train/outer_optimizer.hpp"

namespace convoy {
namespace {

struct Defaults {
  double learning_rate, momentum;
};

Defaults defaults_of(OuterKind kind) { return kind == OuterKind::slowmo ? Defaults{1, 0.7} : Defaults{0.7, 0.9}; }

double given_or(double given, double otherwise) { return given < 0 ? otherwise : given; }

}  // namespace

OuterOptimizer::OuterOptimizer(Backend& backend, const AveragingSettings& settings, const float* first,
                               std::size_t count)
    : backend_(backend),
      kind_(settings.outer),
      learning_rate_(given_or(settings.outer_learning_rate, defaults_of(settings.outer).learning_rate)),
      momentum_(given_or(settings.outer_momentum, defaults_of(settings.outer).momentum)),
      count_(count) {
  if (kind_ == OuterKind::average) return;
  iterate_ = backend.allocate(count * sizeof(float), "outer iterate");
  velocity_ = backend.allocate(count * sizeof(float), "outer momentum");
  start_from(first);
}

void OuterOptimizer::start_from(const float* first) {
  if (kind_ != OuterKind::average) backend_.copy(iterate_.data(), first, count_ * sizeof(float));
}

void OuterOptimizer::visit_state(StateVisitor& state) {
  if (kind_ == OuterKind::average) return;
  state.device("outer.iterate", iterate_.floats(), count_);
  state.device("outer.velocity", velocity_.floats(), count_);
  state.value("outer.last_inner_rate", last_inner_rate_);
}

void OuterOptimizer::step(float* average, double learning_rate) {
  if (kind_ == OuterKind::average) return;
  double keep = momentum_;
  if (kind_ == OuterKind::slowmo) keep *= last_inner_rate_ > 0 ? learning_rate / last_inner_rate_ : 0;
  last_inner_rate_ = learning_rate;
  const bool is_nesterov = kind_ == OuterKind::nesterov;
  const double direct = is_nesterov ? learning_rate_ : 0;                         // of d
  const double slow = is_nesterov ? learning_rate_ * momentum_ : learning_rate_;  // of v

  float *x = iterate_.floats(), *v = velocity_.floats();
  backend_.scale(v, static_cast<float>(keep), count_);
  backend_.add_scaled(v, 1, x, count_);
  backend_.add_scaled(v, -1, average, count_);
  // x - direct (x - average) - slow v
  backend_.scale(x, static_cast<float>(1 - direct), count_);
  if (direct != 0) backend_.add_scaled(x, static_cast<float>(direct), average, count_);
  backend_.add_scaled(x, static_cast<float>(-slow), v, count_);
  backend_.copy(average, x, count_ * sizeof(float));
}

}  // namespace convoy
