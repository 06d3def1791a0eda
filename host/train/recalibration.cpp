// A training forward pass whose running statistics are the batch's own, summed over batches.
#include "train/recalibration.hpp"

#include <algorithm>

#include "train/averaging_policy.hpp"

namespace convoy {
namespace {

constexpr int kDefaultBatches = 20;

LoweredNetwork lowered(const Model& model, const RunConfig& config) {
  return lower(
      model.network, model.shapes, model.layout,
      {.mode = Mode::train, .frozen = {}, .normalisation_group = config.norm_group_size, .batch_statistics = true});
}

std::size_t statistics_count(const ParamLayout& layout) {
  return layout.communicated_elements - layout.trainable_elements;
}

}  // namespace

int recalibration_batches(const RunConfig& config, const Model& model, int ranks, std::size_t images, int rank_batch) {
  if (statistics_count(model.layout) == 0) return 0;
  const bool is_wanted = ranks > 1 && AveragingPolicy::parse(config.average).makes_local_steps();
  const int batches = config.recalibrate >= 0 ? config.recalibrate : is_wanted ? kDefaultBatches : 0;
  return std::min(batches, static_cast<int>(images / static_cast<std::size_t>(rank_batch)));
}

Recalibration::Recalibration(Backend& backend, Communicator& communicator, const Model& model, const RunConfig& config,
                             DeviceSet& training, const PixelScale& pixels, int batch, int batches)
    : backend_(backend),
      communicator_(communicator),
      model_(model),
      config_(config),
      training_(training),
      batches_(batches),
      program_(backend, lowered(model, config), model.layout, batch, Mode::train),
      pixels_(backend, pixels),
      weight_copies_(backend.allocate(program_.weight_copy_bytes(), "compute copies of the recalibration")),
      activations_(backend.allocate(program_.activation_bytes(), "activations of the recalibration")),
      row_(backend.allocate(sizeof(StepRow), "row of the recalibration")),
      sums_(backend.allocate(statistics_count(model.layout) * sizeof(float), "sums of the recalibration",
                             Communicated::yes)) {
  for (std::int64_t number = communicator.rank(); number < batches_; number += communicator.size()) {
    shares_.push_back({number * batch, batch});
  }
}

void Recalibration::forward(const Share& share, int epoch) {
  StepRow row;
  row.seed = config_.seed;
  row.epoch = epoch;
  row.first = static_cast<std::int32_t>(share.first);
  row.count = static_cast<std::int32_t>(share.count);
  backend_.upload(row_.data(), &row, sizeof row);
  training_.next();
  backend_.prepare_input({.source = training_.source(),
                          .image = training_.image(),
                          .input = model_.shapes.input,
                          .rows = program_.batch(),
                          .scale = pixels_.scale(),
                          .offset = pixels_.offset(),
                          .mode = Mode::train,
                          .augmentation = config_.augmentation,
                          .view = {},
                          .output = program_.input(),
                          .row = static_cast<const StepRow*>(row_.data())});
  program_.forward();
}

bool Recalibration::run(Weights& weights, int epoch) {
  program_.bind({.activations = activations_.at(0),
                 .weight_copies = weight_copies_.at(0),
                 .weights = weights.data(),
                 .narrow_weights = weights.narrow(),
                 .gradients = nullptr,
                 .row = static_cast<const StepRow*>(row_.data()),
                 .order = training_.source().order});
  weights.refresh_narrow();
  program_.refresh_weight_copies();
  const std::size_t count = statistics_count(model_.layout);
  float* statistics = weights.data() + model_.layout.trainable_elements;
  backend_.zero(sums_.data(), sums_.bytes());
  training_.begin(shares_);
  for (std::size_t i = 0; static_cast<int>(i) * communicator_.size() < batches_; ++i) {
    if (i < shares_.size()) {  // others may have one more
      forward(shares_[i], epoch);
      backend_.add_scaled(sums_.floats(), 1, statistics, count);
    }
    if (!go_on_()) return false;
  }
  communicator_.average_and_join({sums_.floats(), count}, 1);
  backend_.scale(sums_.floats(), 1.0F / static_cast<float>(batches_), count);
  backend_.copy(statistics, sums_.data(), count * sizeof(float));
  weights.touch();
  return true;
}

}  // namespace convoy
