// A world average is one collective over weights and statistics together; what else happens then follows from it.
#include "train/averager.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "train/not_finite.hpp"

namespace convoy {
namespace {

void add(CommunicationCost& to, const CommunicationCost& more) {
  to.collectives += more.collectives;
  to.bytes += more.bytes;
  to.seconds += more.seconds;
  to.exposed_seconds += more.exposed_seconds;
}

CommunicationCost negative(const CommunicationCost& cost) {
  return {.collectives = -cost.collectives,
          .bytes = -cost.bytes,
          .seconds = -cost.seconds,
          .exposed_seconds = -cost.exposed_seconds};
}

FloatRange weights_of(LocalRank& rank) { return rank.weights.communicated(); }
FloatRange weights_with_moments_of(LocalRank& rank) { return rank.weights.with_moments(); }
FloatRange moments_of(LocalRank& rank) { return rank.weights.moments_alone(); }
FloatRange gradients_of(LocalRank& rank) { return {rank.step.gradients(), rank.weights.layout().trainable_elements}; }

constexpr double kMegabyte = 1e6;

std::optional<AveragingPolicy> node_policy_of(const RunConfig& config) {
  if (config.averaging.node.empty()) return std::nullopt;
  return AveragingPolicy::parse(config.averaging.node);
}

void check(const RunConfig& config, const AveragingPolicy& policy) {
  const AveragingSettings& settings = config.averaging;
  const bool wants_weights = !settings.node.empty() || settings.outer != OuterKind::average || settings.delay > 0 ||
                             settings.moments == MomentsRule::reset;  // `average` they are: equal on all ranks
  if (policy.ever_averages_gradients() && wants_weights) {
    fail_usage(
        "--average {} averages gradients: --average-node, --outer, --moments reset and --average-delay are for "
        "policies that average weights, such as every:4",
        policy.text());
  }
  if (config.start == WeightStart::own && settings.outer != OuterKind::average) {
    fail_usage("--start own and --outer do not go together: an outer step needs a common start");
  }
  if (settings.delay > 0 && settings.outer != OuterKind::average) {
    fail_usage("--average-delay {} and --outer do not go together: a late average has no step of its own",
               settings.delay);
  }
}

}  // namespace

// w <- w + sum / ranks - sent, a step later.
struct Averager::Late {
  std::vector<Arena> sent;  // of every local rank
  Arena sum;
  Pending pending;
  bool is_under_way = false, is_joined = false;

  void join(Communicator& workers) {
    if (!std::exchange(is_joined, true)) workers.join(pending);
  }
};

Averager::Averager(Backend& backend, Communicator& communicator, const RunConfig& config,
                   std::vector<std::unique_ptr<LocalRank>>& ranks)
    : backend_(backend),
      config_(config),
      ranks_(ranks),
      layout_(ranks.front()->weights.layout()),
      policy_(AveragingPolicy::parse(config.average)),
      node_policy_(node_policy_of(config)),
      world_(world_group(communicator, ranks)),
      outer_(backend, config.averaging, ranks.front()->weights.data(), layout_.trainable_elements),
      first_rank_(communicator.rank() * static_cast<int>(ranks.size())),
      squares_(world_.size),
      square_of_mean_(backend.allocate(sizeof(double), "square of the mean")),
      averaged_(backend, layout_, "averaged weights") {
  add(cost_before_, negative(communicator.cost()));
  check(config, policy_);
  if (policy_.ever_averages_gradients() && world_.size > 1) {
    gradients_.emplace(backend, world_);
    ranks.front()->step.exchange_gradients(*gradients_, static_cast<std::size_t>(config.averaging.bucket * kMegabyte));
  }
  if (node_policy_) nodes_ = node_groups(communicator, ranks, config.averaging.node_size);
  const std::size_t bytes = layout_.communicated_elements * sizeof(float);
  if (config.averaging.delay > 0 && world_.size > 1) {
    late_ = std::make_unique<Late>();
    for (std::size_t r = 0; r < ranks.size(); ++r) late_->sent.push_back(backend.allocate(bytes, "weights sent"));
    late_->sum = backend.allocate(bytes, "late average", Communicated::yes);
  }
  if (config.ema_decay > 0) {
    for (const auto& rank : ranks) {
      moving_averages_.push_back(backend.allocate(bytes, "moving average of the weights"));
      backend.copy(moving_averages_.back().data(), rank->weights.data(), bytes);
    }
  }
  attach_arenas();
}

// What the policies average again and again; a worker's sum of its ranks lies with the first of them.
void Averager::attach_arenas() {
  const LocalRank& first = *ranks_.front();
  const Use of_world = nodes_.empty() ? Use::most : Use::some;
  const auto attach = [this](Communicator& workers, const Arena& arena, Use use) {
    if (workers.size() > 1) attachments_.push_back(workers.attach(arena, use));
  };
  if (!nodes_.empty()) attach(*nodes_.front().workers, first.weights.arena(), Use::most);
  attach(*world_.workers, gradients_ ? first.step.gradient_arena() : first.weights.arena(), of_world);
  if (late_) attach(*world_.workers, late_->sum, of_world);
  attach(*world_.workers, averaged_.arena(), Use::some);
}

Averager::~Averager() = default;

PolicyStep Averager::policy_step(std::int64_t step, std::int64_t since_average) const {
  const StepPlan& plan = ranks_.front()->plan;
  return {.step = step,
          .steps_per_epoch = plan.steps_per_epoch(),
          .last_step = plan.last_step(),
          .since_average = since_average,
          .learning_rate = plan.learning_rate(step)};
}

void Averager::step(std::int64_t step, const std::function<void()>& before_average) {
  const Range range(backend_, "step");
  const Exchange exchange = policy_.at(policy_step(step, ++since_average_));
  const bool is_node_due =
      node_policy_ && node_policy_->at(policy_step(step, ++since_node_average_)) != Exchange::nothing;
  take_steps(ranks_.front()->plan.variant(step));
  if (before_average) before_average();
  finish_late_average();
  if (exchange == Exchange::weights) {
    average_world(step);
  } else if (is_node_due) {
    average_nodes();
  }
  if (exchange != Exchange::nothing) since_average_ = 0;
  if (exchange != Exchange::nothing || is_node_due) since_node_average_ = 0;
  update_moving_averages(step);
}

void Averager::append_batches(std::int64_t step, std::vector<Share>& batches) const {
  for (std::size_t r = ranks_.size(); r-- > 0;) batches.push_back(ranks_[r]->plan.share(step));
}

// The first rank's step exchanges the gradients of all; so it comes last up to there, and always, for batches come in
// one order.
void Averager::take_steps(const StepVariant& variant) {
  if (!gradients_ || ranks_.size() == 1) {
    for (std::size_t r = ranks_.size(); r-- > 0;) ranks_[r]->step.run(variant);
    return;
  }
  for (std::size_t r = ranks_.size(); r-- > 0;) ranks_[r]->step.run_gradients(variant);
  share_first(backend_, world_, gradients_of);
  for (const auto& rank : ranks_) rank->step.run_update(variant);
}

void Averager::average_world(std::int64_t step) {
  if (world_.size == 1) return;
  const Range range(backend_, "average");
  const double mean_square = mean_square_of_weights();
  const bool is_last = step + 1 == ranks_.front()->plan.last_step();
  if (late_ && !is_last) {
    start_late_average();
    return;
  }
  Weights& first = ranks_.front()->weights;
  const RangeOf range_of = config_.averaging.moments == MomentsRule::average ? weights_with_moments_of : weights_of;
  const float left = average_into_first(backend_, world_, range_of);
  if (config_.averaging.outer != OuterKind::average) first.touch();  // which goes on from the mean: no narrow one yet
  square_of_part_ = become_mean(backend_, world_, first, range_of(*ranks_.front()), left,
                                static_cast<double*>(square_of_mean_.data()));
  mean_square_ = mean_square;
  outer_.step(first.data(), ranks_.front()->plan.learning_rate(step));
  share_weights(world_, range_of);
  reset_moments();
}

// The first rank's, which are the mean or made of it.
void Averager::share_weights(const RankGroup& group, const RangeOf& range) {
  share_first(backend_, group, range);
  for (std::size_t r = 1; r < group.ranks.size(); ++r) group.ranks[r]->weights.touch();
}

std::optional<double> Averager::distance() {
  if (!mean_square_) return distance_;
  double square_of_mean = 0;
  if (square_of_part_) {
    square_of_mean = *square_of_part_;
    world_.workers->sum({&square_of_mean, 1});
  } else {
    backend_.download(&square_of_mean, square_of_mean_.data(), sizeof square_of_mean);
  }
  // The mean of ||w_r - mean||^2 is the mean of ||w_r||^2 less ||mean||^2.
  distance_ = std::sqrt(std::max(0.0, *mean_square_ - square_of_mean) / square_of_mean);
  mean_square_.reset();
  return distance_;
}

// Over all ranks, of the trainable weights. One rank's NaN must not become everyone's.
double Averager::mean_square_of_weights() {
  std::ranges::fill(squares_, 0.0);
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    squares_[static_cast<std::size_t>(first_rank_) + r] =
        backend_.sum_of_squares(ranks_[r]->weights.data(), layout_.trainable_elements);
  }
  world_.workers->sum(std::span<double>(squares_));
  double sum = 0;
  for (std::size_t rank = 0; rank < squares_.size(); ++rank) {
    if (!std::isfinite(squares_[rank])) {
      throw NotFinite(fmt::format("rank {} has weights that are not finite numbers", rank));
    }
    sum += squares_[rank];
  }
  return sum / static_cast<double>(squares_.size());
}

void Averager::average_nodes() {
  const Range range(backend_, "average inside nodes");
  for (const RankGroup& node : nodes_) {
    if (node.size == 1) continue;
    const float left = average_into_first(backend_, node, weights_of);
    node.ranks.front()->weights.become_mean(weights_of(*node.ranks.front()), left);
    share_weights(node, weights_of);
  }
}

// Momentum starts anew. Second moments stay: Adam's correction of them has no beginning to go back to.
void Averager::reset_moments() {
  if (config_.averaging.moments != MomentsRule::reset) return;
  for (const auto& rank : ranks_) {
    if (float* first = rank->weights.first_moment()) {
      backend_.zero(first, layout_.trainable_elements * sizeof(float));
    }
  }
}

void Averager::start_late_average() {
  const std::size_t count = layout_.communicated_elements;
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    backend_.copy(late_->sent[r].data(), ranks_[r]->weights.data(), count * sizeof(float));
    if (r == 0) {
      backend_.copy(late_->sum.data(), late_->sent[r].data(), count * sizeof(float));
    } else {
      backend_.add_scaled(late_->sum.floats(), 1, late_->sent[r].floats(), count);
    }
  }
  late_->pending = world_.workers->average({late_->sum.floats(), count});
  late_->is_under_way = true;
  late_->is_joined = false;
}

void Averager::finish_late_average() {
  if (!late_ || !late_->is_under_way) return;
  const Range range(backend_, "late average");
  late_->is_under_way = false;
  const std::size_t count = layout_.communicated_elements;
  late_->join(*world_.workers);
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    float* change = late_->sent[r].floats();
    backend_.scale(change, -1, count);
    backend_.add_scaled(change, world_.share(), late_->sum.floats(), count);
    backend_.add_scaled(ranks_[r]->weights.data(), 1, change, count);
    ranks_[r]->weights.touch();
  }
  // Moments have gone on meanwhile, and a correction as of the weights could make second ones negative.
  if (config_.averaging.moments == MomentsRule::average) {
    const FloatRange sum = moments_of(*ranks_.front());
    const float left = average_into_first(backend_, world_, moments_of);
    if (left != 1) backend_.scale(sum.data, left, sum.count);
    share_first(backend_, world_, moments_of);
  }
  reset_moments();
}

// A decay that grows with the steps, so that the first weights do not linger.
void Averager::update_moving_averages(std::int64_t step) {
  const double decay = std::min(config_.ema_decay, static_cast<double>(1 + step) / static_cast<double>(10 + step));
  for (std::size_t r = 0; r < moving_averages_.size(); ++r) {
    backend_.scale(moving_averages_[r].floats(), static_cast<float>(decay), layout_.communicated_elements);
    backend_.add_scaled(moving_averages_[r].floats(), static_cast<float>(1 - decay), ranks_[r]->weights.data(),
                        layout_.communicated_elements);
  }
}

Weights& Averager::averaged() {
  if (late_ && late_->is_under_way) late_->join(*world_.workers);  // collectives are joined in their order
  const std::size_t count = layout_.communicated_elements;
  const auto source = [this](std::size_t r) {
    return moving_averages_.empty() ? ranks_[r]->weights.data() : moving_averages_[r].floats();
  };
  averaged_.copy_from(ranks_.front()->weights);  // frozen tensors too
  if (!moving_averages_.empty()) backend_.copy(averaged_.data(), source(0), count * sizeof(float));
  for (std::size_t r = 1; r < ranks_.size(); ++r) backend_.add_scaled(averaged_.data(), 1, source(r), count);
  if (world_.size > 1) mean_over_group(backend_, world_, {averaged_.data(), count});
  averaged_.touch();
  return averaged_;
}

CommunicationCost Averager::cost() const {
  CommunicationCost cost = cost_before_;
  add(cost, world_.workers->cost());
  if (!nodes_.empty()) add(cost, nodes_.front().workers->cost());  // a worker's nodes share one
  return cost;
}

void Averager::visit_state(TrainingState& state) {
  // Ranks that exchange gradients make the same update of the same weights; each has statistics of its own.
  const bool are_equal = policy_.text() == "step" && config_.start == WeightStart::common;
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    StateVisitor& own = *state.ranks[r];
    ranks_[r]->weights.visit_trained(are_equal ? state.same_on_all(r) : own);
    ranks_[r]->weights.visit_statistics(own);
    ranks_[r]->step.visit_state(own);
    if (!moving_averages_.empty()) {
      own.device("moving_average", moving_averages_[r].floats(), layout_.communicated_elements);
    }
  }
  state.shared->value("average.since", since_average_);
  state.shared->value("average.since_node", since_node_average_);
  distance();  // of now, before it is read or replaced
  state.shared->value("average.distance", distance_);
  outer_.visit_state(*state.shared);
  if (state.has_other_ranks) outer_.start_from(ranks_.front()->weights.data());
  visit_late_average(state);
  visit_cost(*state.shared);
}

void Averager::visit_late_average(TrainingState& state) {
  bool is_under_way = late_ && late_->is_under_way;
  state.shared->value("late.is_under_way", is_under_way);
  // The mean over other ranks is what it would have brought them to.
  is_under_way = is_under_way && !state.has_other_ranks;
  if (late_ && late_->is_under_way && !is_under_way) {  // gone back to before it began
    late_->join(*world_.workers);
    late_->is_under_way = false;
  }
  if (!is_under_way) return;
  CONVOY_CHECK(late_ != nullptr, "an average under way, but no --average-delay");
  if (late_->is_under_way) late_->join(*world_.workers);
  late_->is_under_way = late_->is_joined = true;
  const std::size_t count = layout_.communicated_elements;
  for (std::size_t r = 0; r < ranks_.size(); ++r) state.ranks[r]->device("late.sent", late_->sent[r].floats(), count);
  state.shared->device("late.sum", late_->sum.floats(), count);
}

void Averager::visit_cost(StateVisitor& state) {
  CommunicationCost total = cost();
  const CommunicationCost own = total;
  state.value("cost.collectives", total.collectives);
  state.value("cost.bytes", total.bytes);
  state.value("cost.seconds", total.seconds);
  state.value("cost.exposed_seconds", total.exposed_seconds);
  cost_before_.collectives += total.collectives - own.collectives;
  cost_before_.bytes += total.bytes - own.bytes;
  cost_before_.seconds += total.seconds - own.seconds;
  cost_before_.exposed_seconds += total.exposed_seconds - own.exposed_seconds;
}

}  // namespace convoy
