// Batches of a set through the evaluation's own program.
#include "train/evaluator.hpp"

#include <algorithm>
#include <numeric>
#include <span>

#include "convoy/error.hpp"

namespace convoy {

std::vector<WeightedView> test_views(int views) {
  if (views == 1) return {{{}, 1.0F}};
  if (views == 2) return {{{}, 0.5F}, {{.mirror = true}, 0.5F}};
  return {{{}, 0.25F},
          {{.mirror = true}, 0.25F},
          {{.mirror = false, .dy = -1, .dx = -1}, 0.125F},
          {{.mirror = true, .dy = -1, .dx = -1}, 0.125F},
          {{.mirror = false, .dy = 1, .dx = 1}, 0.125F},
          {{.mirror = true, .dy = 1, .dx = 1}, 0.125F}};
}

Evaluator::Evaluator(Backend& backend, Communicator& communicator, const Model& model, int batch, int views,
                     const PixelScale& pixels, std::size_t most_images)
    : backend_(backend),
      communicator_(communicator),
      model_(model),
      views_(test_views(views)),
      program_(backend, lower(model.network, model.shapes, model.layout, {.mode = Mode::evaluate, .frozen = {}}),
               model.layout, batch, Mode::evaluate),
      weights_(backend, model.layout, "weights of the evaluation"),
      pixels_(backend, pixels),
      weight_copies_(backend.allocate(program_.weight_copy_bytes(), "compute copies of the evaluation")),
      activations_(backend.allocate(program_.activation_bytes(), "activations of the evaluation")),
      row_(backend.allocate(sizeof(StepRow), "row of the evaluation")),
      sums_(backend.allocate((most_images + batch - 1) / batch * sizeof(BatchSums), "sums of the evaluation")),
      logits_(backend.allocate(static_cast<std::size_t>(batch) * model.shapes.classes * sizeof(float), "logits")),
      host_sums_(sums_.bytes() / sizeof(BatchSums)),
      losses_(host_sums_.size()) {}

void Evaluator::forward(const DeviceSet& set, const View& view) {
  const Extent& input = model_.shapes.input;
  backend_.prepare_input({.source = set.source(),
                          .image = set.image(),
                          .input = input,
                          .rows = program_.batch(),
                          .scale = pixels_.scale(),
                          .offset = pixels_.offset(),
                          .mode = Mode::evaluate,
                          .augmentation = {},
                          .view = view,
                          .output = program_.input(),
                          .row = static_cast<StepRow*>(row_.data())});
  program_.forward();
}

// The views' weighted logits in logits_. The first view is the plain one: after_plain() finds its logits in program_.
template <typename AfterPlain>
void Evaluator::forward_views(const DeviceSet& set, const AfterPlain& after_plain) {
  const std::size_t values = static_cast<std::size_t>(program_.batch()) * model_.shapes.classes;
  for (std::size_t view = 0; view < views_.size(); ++view) {
    forward(set, views_[view].view);
    if (view == 0) after_plain();
    backend_.accumulate_logits(program_.logits(), views_[view].weight, view == 0, values, logits_.floats());
  }
}

// Calls per_batch(row, number of the batch) for this rank's batches, with the row uploaded. False: it was not to go on.
template <typename PerBatch>
bool Evaluator::run_batches(const Weights& weights, DeviceSet& set, Communicator& among, const PerBatch& per_batch) {
  const Range range(backend_, "evaluation");
  program_.bind({.activations = activations_.at(0),
                 .weight_copies = weight_copies_.at(0),
                 .weights = weights_.data(),
                 .narrow_weights = weights_.narrow(),
                 .gradients = nullptr,
                 .row = static_cast<StepRow*>(row_.data()),
                 .order = set.source().order});
  weights_.copy_from(weights);
  weights_.refresh_narrow();
  program_.refresh_weight_copies();
  const std::int64_t batch = program_.batch();
  const auto count = static_cast<std::int64_t>(set.count());
  shares_.clear();
  for (std::int64_t first = among.rank() * batch; first < count; first += among.size() * batch) {
    shares_.push_back({first, std::min(batch, count - first)});
  }
  set.begin(shares_);
  for (std::size_t i = 0; static_cast<std::int64_t>(i) * among.size() * batch < count; ++i) {
    if (i < shares_.size()) {  // others may have one more
      const Share& share = shares_[i];
      StepRow row;
      row.first = static_cast<std::int32_t>(share.first);
      row.count = static_cast<std::int32_t>(share.count);
      backend_.upload(row_.data(), &row, sizeof row);
      set.next();
      per_batch(row, share.first / batch);
    }
    if (&among == &communicator_ && !go_on_()) return false;
  }
  return true;
}

std::optional<Evaluation> Evaluator::evaluate(const Weights& weights, DeviceSet& set, Communicator& among) {
  const std::size_t batches = (set.count() + program_.batch() - 1) / program_.batch();
  auto* sums = static_cast<BatchSums*>(sums_.data());
  CONVOY_CHECK(batches * sizeof(BatchSums) <= sums_.bytes(), "an evaluation of {} images was not planned", set.count());
  backend_.zero(sums, batches * sizeof(BatchSums));
  const auto add_loss = [&](const float* logits, LossSums* to) {
    backend_.softmax_cross_entropy({.logits = logits,
                                    .source = set.source(),
                                    .rows = program_.batch(),
                                    .classes = model_.shapes.classes,
                                    .logit_scale = program_.network().logit_scale,
                                    .smoothing = 0,
                                    .gradient = nullptr,
                                    .sums = to,
                                    .row = static_cast<StepRow*>(row_.data())});
  };
  const auto per_batch = [&](const StepRow&, std::int64_t batch) {
    forward_views(set, [&] { add_loss(program_.logits(), &sums[batch].plain); });
    add_loss(logits_.floats(), &sums[batch].viewed);
  };
  if (!run_batches(weights, set, among, per_batch)) return std::nullopt;
  backend_.download(host_sums_.data(), sums, batches * sizeof(BatchSums));
  return total(batches, among);
}

// Of the batches of all ranks in `among`; those of other ranks are zero here.
Evaluation Evaluator::total(std::size_t batches, Communicator& among) {
  std::int64_t counts[3] = {};
  for (std::size_t i = 0; i < batches; ++i) {
    const BatchSums& batch = host_sums_[i];
    losses_[i] = batch.viewed.loss;
    counts[0] += batch.viewed.samples;
    counts[1] += batch.viewed.correct;
    counts[2] += batch.plain.correct;
  }
  among.sum(std::span<std::int64_t>(counts));
  const std::span<double> losses(losses_.data(), batches);
  among.sum(losses);  // each has one rank's value and zeros: exact
  const auto samples = static_cast<double>(std::max<std::int64_t>(counts[0], 1));
  return {std::accumulate(losses.begin(), losses.end(), 0.0) / samples, static_cast<double>(counts[1]) / samples,
          static_cast<double>(counts[2]) / samples, counts[0]};
}

// compute() does a batch and says where its logits lie.
std::vector<float> Evaluator::download_all(const Weights& weights, DeviceSet& set,
                                           const std::function<const float*()>& compute) {
  const std::size_t classes = model_.shapes.classes;
  std::vector<float> all(set.count() * classes);
  run_batches(weights, set, *self_, [&](const StepRow& row, std::int64_t) {
    const float* from = compute();
    float* to = all.data() + static_cast<std::size_t>(row.first) * classes;
    backend_.download(to, from, static_cast<std::size_t>(row.count) * classes * sizeof(float));
    for (std::size_t i = 0; i < row.count * classes; ++i) to[i] *= program_.network().logit_scale;
  });
  return all;
}

std::vector<float> Evaluator::plain_logits(const Weights& weights, DeviceSet& set) {
  return download_all(weights, set, [&] {
    forward(set, {});
    return program_.logits();
  });
}

std::vector<float> Evaluator::logits(const Weights& weights, DeviceSet& set) {
  return download_all(weights, set, [&] {
    forward_views(set, [] {});
    return logits_.floats();
  });
}

}  // namespace convoy
