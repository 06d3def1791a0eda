// Learning rates are zero, so that no number of steps ends in NaN.
#include "train/benched_step.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "convoy/error.hpp"
#include "data/load.hpp"
#include "data/synthetic.hpp"
#include "nn/initialise.hpp"
#include "train/picture_extent.hpp"

namespace convoy {
namespace {

constexpr int kClasses = 10, kChannels = 3;

RunConfig of_one_epoch(RunConfig config) {
  config.epochs = 1;
  config.steps = 0;
  return config;
}

Dataset images_for(const Network& network, int batch) {
  if (static_cast<std::uint64_t>(batch) > kMostSynthetic) {
    fail_usage("--batch {}: a step on at most {} images can be measured", batch, kMostSynthetic);
  }
  const std::uint64_t count = std::max(static_cast<std::uint64_t>(batch), kFewestSynthetic);
  return load_dataset({.path = fmt::format("synthetic:{}", count), .pictures = pictures_for(network)});
}

}  // namespace

BenchedStep::BenchedStep(Backend& backend, RunConfig config, int most, std::function<void()> on_progress)
    : config_(of_one_epoch(std::move(config))),
      model_(make_model(config_.model, kClasses, kChannels)),
      data_(images_for(model_.network, config_.batch)),
      plan_(config_, model_.layout, static_cast<std::int64_t>(data_.train.count()), 0, 1),
      weights_(backend, model_.layout, "weights", moments_needed(model_.layout, config_)),
      set_(backend, data_.train),
      step_(backend, model_, config_, weights_, set_,
            pixel_scale({0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}, model_.shapes.input.channels)) {
  check_image(model_.network, data_.train.image);
  weights_.set(initial_weights(model_.layout, config_.seed));
  step_.on_progress(std::move(on_progress));
  step_.prepare({variant()});
  StepRow row = plan_.rows(0).front();
  std::fill(std::begin(row.learning_rates), std::end(row.learning_rates), 0.0F);
  step_.set_rows(std::vector<StepRow>(static_cast<std::size_t>(most), row));
}

}  // namespace convoy
