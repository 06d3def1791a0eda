// The loop itself.
#include "train/trainer.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <functional>
#include <numeric>
#include <string_view>
#include <utility>

#include "train/checkpoint/resume.hpp"
#include "train/nan_search.hpp"

namespace convoy {
namespace {

constexpr std::string_view kRemedy = "a lower --learning-rate, or --clip-norm 1, helps most often";
constexpr int kFirstSteps = 2;     // of a run in this process, which may take as long as its start
constexpr int kMostRollbacks = 3;  // without a checkpoint in between: what they do not help needs other settings

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count() - left_out_;
  }
  void leave_out(double seconds) { left_out_ += seconds; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double left_out_ = 0;
};

void add(LossSums& to, const LossSums& from) {
  to.loss += from.loss;
  to.correct += from.correct;
  to.samples += from.samples;
  to.not_finite += from.not_finite;
}

double mean_loss(const LossSums& sums) { return sums.samples > 0 ? sums.loss / static_cast<double>(sums.samples) : 0; }

double per_second(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

}  // namespace

Trainer::Trainer(const TrainerParts& parts) : parts_(parts) {
  parts_.evaluator.on_batch([this] { return goes_on(); });
  if (parts_.recalibration != nullptr) parts_.recalibration->on_batch([this] { return goes_on(); });
}

// After every step and every batch of an evaluation, on all workers alike.
bool Trainer::goes_on() {
  const Requests agreed = parts_.accord.after_work();
  if (results_.stop_signal == 0) results_.stop_signal = agreed.stop_signal;
  is_checkpoint_asked_ = is_checkpoint_asked_ || agreed.checkpoint;
  return results_.stop_signal == 0;
}

RunResults Trainer::run() {
  results_.startup_seconds = parts_.recorder.clock().seconds();
  parts_.recorder.tick(results_);  // where restored: times too
  rank_sums_.resize(parts_.ranks.size());
  for (bool is_done = false; !is_done;) {
    try {
      train_to_end();
      is_done = true;
    } catch (const NotFinite& noticed) {
      recover(noticed);
    }
  }
  const bool is_safe = parts_.checkpoints.finish();
  CONVOY_CHECK(is_safe || results_.stop_signal == 0, "stopped, but without a checkpoint of step {}", results_.steps);
  results_.peak_device_bytes = parts_.backend.peak_allocated_bytes();
  results_.weight_distance = parts_.averager.distance();
  results_.communication = communication();
  results_.loss_scale = loss_scale();
  return results_;
}

// From where the run is.
void Trainer::train_to_end() {
  const std::int64_t last_step = plan().last_step();
  if (results_.steps < last_step) results_.local_test_accuracy.clear();  // restored, of ranks that go on now
  // Restored where an epoch was taken but not evaluated, its steps are taken already.
  const auto has_open_epoch = [&] { return results_.steps > epochs_done_ * plan().steps_per_epoch(); };
  for (int epoch = epochs_done_; results_.steps < last_step || has_open_epoch(); ++epoch) {
    const double seconds_before = results_.train_seconds;
    const std::int64_t images_before = results_.images_seen;
    if (!train_epoch(epoch, last_step)) break;

    const bool is_whole = results_.steps % plan().steps_per_epoch() == 0;
    const bool is_last = results_.steps >= last_step;
    if (is_whole) results_.epochs = epoch + 1;
    const bool has_trained = epoch_sums_.samples > 0;  // else a rollback has skipped all of it: no row
    if (has_trained) results_.train_loss = mean_loss(epoch_sums_);
    EpochMetrics row;
    row.epoch = epoch + 1;
    row.step = results_.steps;
    row.learning_rate = plan().learning_rate(results_.steps - 1);
    row.images_seen = results_.images_seen;
    row.train_seconds = results_.train_seconds;
    row.images_per_second =
        per_second(static_cast<double>(results_.images_seen - images_before), results_.train_seconds - seconds_before);
    row.train_loss = mean_loss(epoch_sums_);
    row.train_accuracy =
        static_cast<double>(epoch_sums_.correct) / static_cast<double>(std::max<std::int64_t>(epoch_sums_.samples, 1));
    row.weight_distance = parts_.averager.distance();
    row.loss_scale = loss_scale();
    if ((has_trained || is_last) && !evaluate_epoch(row, is_last)) break;
    parts_.recorder.tick(results_);
    if (has_trained) parts_.recorder.epoch(row);
    for (std::size_t r = 0; has_trained && r < parts_.rank_logs.size(); ++r) {
      parts_.rank_logs[r].epoch(rank_row(row.epoch, std::exchange(rank_sums_[r].epoch, {})));
    }
    if (is_whole) {
      epochs_done_ = epoch + 1;
      epoch_sums_ = {};
    }
    checkpoint_after_epoch(row, is_last);
    if (is_last) break;
  }
  const bool was_done = evaluated_ == nullptr && results_.stop_signal == 0;  // restored at the end
  if (was_done) {
    parts_.training.set_order(parts_.shards.order(epochs_done_ - 1));  // which new statistics are taken over
    prepare_evaluation(epochs_done_ - 1);
  }
  if (results_.stop_signal != 0) save_checkpoint(parts_.averager.averaged(), std::nullopt, false);
}

// Waits of all ranks: each fills its own place.
CommunicationResults Trainer::communication() {
  const CommunicationCost cost = parts_.averager.cost();
  std::vector<double> waits(static_cast<std::size_t>(parts_.communicator.size()));
  waits[static_cast<std::size_t>(parts_.communicator.rank())] = cost.exposed_seconds;
  parts_.communicator.sum(std::span<double>(waits));
  const auto [least, most] = std::minmax_element(waits.begin(), waits.end());
  return {.collectives = cost.collectives,
          .bytes = cost.bytes,
          .seconds = cost.seconds,
          .exposed_seconds = cost.exposed_seconds,
          .least_wait_seconds = *least,
          .mean_wait_seconds = std::accumulate(waits.begin(), waits.end(), 0.0) / static_cast<double>(waits.size()),
          .most_wait_seconds = *most};
}

// Over all ranks. Waits.
std::optional<LossScaleMetrics> Trainer::loss_scale() {
  LossScale worst{.scale = kMostLossScale};
  for (const auto& rank : parts_.ranks) {
    const std::optional<LossScale> own = rank->step.loss_scale();
    if (!own) return std::nullopt;
    worst.scale = std::min(worst.scale, own->scale);
    worst.skipped = std::max(worst.skipped, own->skipped);
  }
  // The bits of positive floats are in their order.
  const std::uint64_t scale = parts_.communicator.min_max(std::bit_cast<std::uint32_t>(worst.scale)).least;
  const std::uint64_t skipped = parts_.communicator.min_max(static_cast<std::uint64_t>(worst.skipped)).most;
  return LossScaleMetrics{.scale = std::bit_cast<float>(static_cast<std::uint32_t>(scale)),
                          .skipped_updates = static_cast<std::int64_t>(skipped)};
}

// False: the workers agreed to stop.
bool Trainer::train_epoch(int epoch, std::int64_t last_step) {
  Stopwatch stopwatch;
  const double seconds_before = results_.train_seconds;
  const std::int64_t end = std::min(last_step, (epoch + 1) * plan().steps_per_epoch());
  aim(epoch, results_.steps, end);
  parts_.rank_progress.enter(steps_taken_ < kFirstSteps ? Phase::first_steps : Phase::training);
  for (std::int64_t step = results_.steps; step < end; ++step) {
    if (steps_taken_++ == kFirstSteps) parts_.rank_progress.enter(Phase::training);
    parts_.rank_progress.at_step(epoch + 1, step + 1);
    results_.steps = step + 1;
    std::function<void()> before_average;
    if (step + 1 == last_step) before_average = [&] { stopwatch.leave_out(evaluate_local()); };
    parts_.profile.before(step);
    parts_.averager.step(step, before_average);
    parts_.profile.after(step);
    results_.images_seen += plan().global_images(step);
    results_.train_seconds = seconds_before + stopwatch.seconds();
    parts_.recorder.tick(results_);
    const int every = parts_.config.log_every;
    if (every > 0 && results_.steps % every == 0) log_step(results_.steps, epoch + 1);
    const bool stops = !goes_on();
    parts_.checkpoints.after_step(results_.steps);
    if (stops) return false;  // what was not collected is saved as it is
    if (results_.steps < end && is_checkpoint_due()) save_checkpoint(parts_.averager.averaged(), std::nullopt, false);
  }
  collect();  // waits for the device
  results_.train_seconds = seconds_before + stopwatch.seconds();
  return results_.stop_signal == 0;
}

bool Trainer::is_checkpoint_due() const {
  return is_checkpoint_asked_ || parts_.checkpoints.is_due_after(results_.steps);
}

// One rank's NaN is in the mean too: all workers find the same.
void Trainer::check_finite(const Weights& weights) {
  const std::int64_t found = parts_.backend.first_not_finite(weights.data(), weights.layout().communicated_elements);
  if (found < 0) return;
  throw NotFinite(fmt::format("weights are not finite numbers after step {}, those of {} among them", results_.steps,
                              weights.layout().at(static_cast<std::size_t>(found)).name));
}

// --on-nan: says where it began, and stops, or goes on from the last checkpoint without the steps since.
void Trainer::recover(const NotFinite& noticed) {
  parts_.checkpoints.finish();
  const std::int64_t step = results_.steps;
  const int epochs_done = epochs_done_;
  const std::optional<LoadedCheckpoint> last =
      load_checkpoint(kResumeAuto, parts_.checkpoints.run().string(), parts_.communicator, world(),
                      [this](std::string_view line) { parts_.recorder.note(line); });
  const std::string began = origin(last ? &*last : nullptr, noticed);
  const std::string reason = fmt::format("{}{}{}", noticed.what(), began.empty() ? "" : ": ", began);
  const bool can_go_back = last && last->manifest().step < step;
  if (parts_.config.on_nan == OnNan::stop) {
    fail("{}; {}{}", reason, kRemedy, last ? "; the checkpoint before stays" : "");
  }
  if (!can_go_back) fail("{}; there is no checkpoint before it to go back to; {}", reason, kRemedy);
  if (rollbacks_in_a_row_ == kMostRollbacks) {
    fail("{}; {} rollbacks to the checkpoint of step {} have not helped: {}", reason, kMostRollbacks,
         last->manifest().step, kRemedy);
  }
  restore(*last);
  const std::int64_t back_at = results_.steps;
  skip_to(step, epochs_done);
  parts_.recorder.tick(results_);
  parts_.recorder.rollback({.step = step,
                            .to_step = back_at,
                            .epoch = static_cast<int>((step - 1) / plan().steps_per_epoch()) + 1,
                            .images_seen = results_.images_seen,
                            .reason = reason});
}

// Where it began, from that checkpoint on; in words that follow a colon, or empty.
std::string Trainer::origin(const LoadedCheckpoint* last, const NotFinite& noticed) {
  if (results_.stop_signal != 0) return "";  // whoever stops the run does not wait for long
  parts_.rank_progress.enter(Phase::training);
  NanSearch search({.backend = parts_.backend,
                    .communicator = parts_.communicator,
                    .ranks = parts_.ranks,
                    .averager = parts_.averager,
                    .aim =
                        [this](std::int64_t step) {
                          const std::int64_t epoch = step / plan().steps_per_epoch();
                          aim(static_cast<int>(epoch), step, (epoch + 1) * plan().steps_per_epoch());
                        },
                    .visit = [this](TrainingState& state) { visit_state(state); },
                    .goes_on = [this] { return goes_on(); }});
  const std::int64_t noticed_at = results_.steps;
  if (last == nullptr) return search.now(noticed_at - 1);
  std::vector<std::int64_t> steps;
  for (std::int64_t step = last->manifest().step; step < noticed_at; ++step) {
    const bool was_skipped =
        std::ranges::any_of(skipped_, [step](const auto& range) { return range.first <= step && step < range.second; });
    if (!was_skipped) steps.push_back(step);
  }
  if (steps.empty()) return "";
  parts_.recorder.note(fmt::format("{}: looking for where it began, from the checkpoint of step {} on", noticed.what(),
                                   last->manifest().step));
  restore(*last);
  return search.since(steps, finite_until_ - 1);  // the update of the last of these is not known
}

void Trainer::restore(const LoadedCheckpoint& checkpoint) {
  checkpoint.restore(parts_.backend, world(), [this](TrainingState& state) { visit_state(state); });
}

// After a rollback: the steps up to this one count as taken, so that schedule and batches of those to come stay.
void Trainer::skip_to(std::int64_t step, int epochs_done) {
  skipped_.emplace_back(results_.steps, step);
  results_.skipped_steps += step - results_.steps;
  results_.rollbacks += ++rollbacks_in_a_row_;  // the checkpoint knows of none of them
  results_.steps = finite_until_ = step;
  evaluated_ = nullptr;
  if (epochs_done == epochs_done_) return;
  epochs_done_ = results_.epochs = epochs_done;  // their rows are written
  epoch_sums_ = {};
  for (std::size_t r = 0; r < rank_sums_.size(); ++r) {
    rank_sums_[r].epoch = {};
    parts_.ranks[r]->step.take_sums();
  }
}

void Trainer::save_checkpoint(const Weights& averaged, std::optional<double> validation_accuracy, bool is_best) {
  const Stopwatch stopwatch;
  check_finite(averaged);
  is_checkpoint_asked_ = false;
  rollbacks_in_a_row_ = 0;
  ++results_.checkpoints;
  Manifest manifest = parts_.manifest;
  manifest.step = results_.steps;
  manifest.epochs_done = epochs_done_;
  manifest.images_seen = results_.images_seen;
  manifest.elapsed_seconds = parts_.recorder.seconds();
  manifest.validation_accuracy = validation_accuracy;
  parts_.checkpoints.save({.manifest = std::move(manifest),
                           .visit = [this](TrainingState& state) { visit_state(state); },
                           .averaged = &averaged,
                           .weights_info = parts_.weights_info,
                           .is_best = is_best});
  results_.checkpoint_seconds += stopwatch.seconds();
}

// A best epoch is always kept; its checkpoint has the very weights that were evaluated.
void Trainer::checkpoint_after_epoch(const EpochMetrics& row, bool is_last) {
  const bool is_best =
      row.validation_accuracy && (!best_validation_accuracy_ || *row.validation_accuracy > *best_validation_accuracy_);
  if (is_best) best_validation_accuracy_ = row.validation_accuracy;
  const bool is_wanted = parts_.checkpoints.is_wanted() && (is_best || is_last);
  if (!is_wanted && !is_checkpoint_due()) return;
  const bool is_evaluated = row.validation_accuracy || row.test_accuracy;
  save_checkpoint(is_evaluated ? *evaluated_ : parts_.averager.averaged(), row.validation_accuracy, is_best);
}

void Trainer::visit_state(TrainingState& state) {
  parts_.averager.visit_state(state);
  rank_sums_.resize(parts_.ranks.size());
  for (std::size_t r = 0; r < rank_sums_.size(); ++r) {
    state.ranks[r]->value("trainer.rank_step_sums", rank_sums_[r].step);
    state.ranks[r]->value("trainer.rank_epoch_sums", rank_sums_[r].epoch);
  }
  StateVisitor& shared = *state.shared;
  shared.value("trainer.epoch_sums", epoch_sums_);
  shared.value("trainer.log_sums", log_sums_);
  shared.value("trainer.log_seconds", log_seconds_);
  shared.value("trainer.log_images", log_images_);
  shared.value("trainer.epochs_done", epochs_done_);
  shared.value("trainer.best_validation_accuracy", best_validation_accuracy_);
  shared.value("results.test_accuracy", results_.test_accuracy);
  shared.value("results.test_loss", results_.test_loss);
  shared.value("results.test_accuracy_plain", results_.test_accuracy_plain);
  shared.values("results.local_test_accuracy", results_.local_test_accuracy);
  shared.value("results.validation_accuracy", results_.validation_accuracy);
  shared.value("results.validation_loss", results_.validation_loss);
  shared.value("results.train_loss", results_.train_loss);
  shared.value("results.steps", results_.steps);
  shared.value("results.epochs", results_.epochs);
  shared.value("results.images_seen", results_.images_seen);
  shared.value("results.train_seconds", results_.train_seconds);
  shared.value("results.evaluation_seconds", results_.evaluation_seconds);
  shared.value("results.checkpoint_seconds", results_.checkpoint_seconds);
  shared.value("results.checkpoints", results_.checkpoints);
  shared.value("results.rollbacks", results_.rollbacks);
  shared.value("results.skipped_steps", results_.skipped_steps);
}

// Ranks and data: at the steps from `first` to before `end` of this epoch.
void Trainer::aim(int epoch, std::int64_t first, std::int64_t end) {
  parts_.training.set_order(parts_.shards.order(epoch));
  for (const auto& rank : parts_.ranks) {
    rank->step.set_rows(rank->plan.rows(epoch), first - epoch * plan().steps_per_epoch());
  }
  std::vector<Share> batches;
  for (std::int64_t step = first; step < end; ++step) parts_.averager.append_batches(step, batches);
  parts_.training.begin(batches);
}

// The sums since the last call, over all ranks, into the epoch's and the row's.
LossSums Trainer::collect() {
  LossSums sums;
  for (std::size_t r = 0; r < parts_.ranks.size(); ++r) {
    const LossSums own = parts_.ranks[r]->step.take_sums();
    add(rank_sums_[r].step, own);
    add(rank_sums_[r].epoch, own);
    add(sums, own);
  }
  std::int64_t counts[] = {sums.correct, sums.samples, sums.not_finite};
  double losses[] = {sums.loss};
  parts_.communicator.sum(std::span<std::int64_t>(counts));
  parts_.communicator.sum(std::span<double>(losses));
  sums = {losses[0], counts[0], counts[1], counts[2]};
  if (sums.not_finite > 0) {
    throw NotFinite(fmt::format("the loss is not a finite number ({} of {} samples up to step {})", sums.not_finite,
                                sums.samples, results_.steps));
  }
  finite_until_ = results_.steps;
  add(epoch_sums_, sums);
  add(log_sums_, sums);
  return sums;
}

RankMetrics Trainer::rank_row(int epoch, const LossSums& sums) const {
  RankMetrics row{.step = results_.steps,
                  .epoch = epoch,
                  .images = sums.samples,
                  .train_seconds = results_.train_seconds,
                  .wait_seconds = parts_.averager.cost().exposed_seconds};
  if (sums.samples == 0) return row;
  row.loss = mean_loss(sums);
  row.accuracy = static_cast<double>(sums.correct) / static_cast<double>(sums.samples);
  return row;
}

void Trainer::log_step(std::int64_t step, int epoch) {
  collect();
  StepMetrics row;
  row.step = step;
  row.epoch = epoch;
  row.learning_rate = plan().learning_rate(step - 1);
  row.images_seen = results_.images_seen;
  row.images_per_second =
      per_second(static_cast<double>(results_.images_seen - log_images_), results_.train_seconds - log_seconds_);
  row.loss = mean_loss(log_sums_);
  row.loss_scale = loss_scale();
  parts_.recorder.step(row);
  for (std::size_t r = 0; r < parts_.rank_logs.size(); ++r) {
    parts_.rank_logs[r].step(rank_row(epoch, std::exchange(rank_sums_[r].step, {})));
  }
  log_seconds_ = results_.train_seconds;
  log_images_ = results_.images_seen;
  log_sums_ = {};
}

std::optional<Evaluation> Trainer::timed_evaluation(const Weights& weights, DeviceSet& set) {
  const Stopwatch stopwatch;
  const std::optional<Evaluation> evaluation = parts_.evaluator.evaluate(weights, set);
  results_.evaluation_seconds += stopwatch.seconds();
  if (evaluation && !std::isfinite(evaluation->loss)) {
    throw NotFinite(fmt::format("the loss of the evaluation is not a finite number after step {}", results_.steps));
  }
  return evaluation;
}

// Each rank's own weights on the test set, where the configuration or the policy asks for it; returns the seconds
// taken.
double Trainer::evaluate_local() {
  const auto local = parts_.ranks.size(), world = local * static_cast<std::size_t>(parts_.communicator.size());
  const bool is_wanted = parts_.config.local_accuracy || AveragingPolicy::parse(parts_.config.average).trains_apart();
  if (world == 1 || !is_wanted) return 0;
  collect();  // waits for the device
  const Stopwatch stopwatch;
  std::vector<double> accuracies(world);  // each worker fills its own places
  for (std::size_t r = 0; r < local; ++r) {
    const std::size_t rank = static_cast<std::size_t>(parts_.communicator.rank()) * local + r;
    accuracies[rank] = parts_.evaluator.evaluate_alone(parts_.ranks[r]->weights, parts_.test).accuracy;
  }
  parts_.communicator.sum(std::span<double>(accuracies));
  results_.local_test_accuracy = accuracies;
  results_.evaluation_seconds += stopwatch.seconds();
  return stopwatch.seconds();
}

// Fills in what is evaluated. False: the workers agreed to stop.
bool Trainer::prepare_evaluation(int epoch) {
  Weights& averaged = parts_.averager.averaged();
  if (parts_.recalibration != nullptr && !parts_.recalibration->run(averaged, epoch)) return false;
  evaluated_ = &averaged;
  return true;
}

// With a validation set the test set is read once, at the end. False: the workers agreed to stop.
bool Trainer::evaluate_epoch(EpochMetrics& row, bool is_last) {
  const int every = parts_.config.evaluate_every;
  const bool is_due = is_last || (every > 0 && row.epoch % every == 0);
  if (!is_due) return true;
  parts_.rank_progress.enter(Phase::evaluating);
  if (!prepare_evaluation(row.epoch - 1)) return false;
  const Weights& averaged = *evaluated_;
  if (parts_.validation != nullptr) {
    const std::optional<Evaluation> evaluation = timed_evaluation(averaged, *parts_.validation);
    if (!evaluation) return false;
    row.validation_loss = results_.validation_loss = evaluation->loss;
    row.validation_accuracy = results_.validation_accuracy = evaluation->accuracy;
  }
  if (is_last || parts_.validation == nullptr) {
    const std::optional<Evaluation> evaluation = timed_evaluation(averaged, parts_.test);
    if (!evaluation) return false;
    row.test_loss = results_.test_loss = evaluation->loss;
    row.test_accuracy = results_.test_accuracy = evaluation->accuracy;
    row.test_accuracy_plain = results_.test_accuracy_plain = evaluation->accuracy_plain;
  }
  return true;
}

}  // namespace convoy
