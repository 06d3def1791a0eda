// A weights file made ready to compute with.
#include "train/weights_on_device.hpp"

#include <utility>

#include "train/run_options.hpp"

namespace convoy {
namespace {

ChosenDevice device_for(RunConfig config, const LoadedWeights& loaded) {
  const WeightsInfo& info = info_of(loaded);
  if (!config.is_from_command_line("precision")) {
    set_option(config, "precision", info.precision, loaded.file.origin() + ": metadata convoy.", info.recipe);
  }
  return choose_device(config);
}

}  // namespace

WeightsOnDevice::WeightsOnDevice(const LoadedWeights& loaded, Network network, RunConfig config, const Options& options)
    : views_(options.views.value_or(info_of(loaded).views)),
      batch_(evaluation_rows(options.batch.value_or(info_of(loaded).evaluation_batch), options.most_images)),
      device_(device_for(std::move(config), loaded)),
      model_(make_model(std::move(network), static_cast<int>(info_of(loaded).class_names.size()),
                        static_cast<int>(info_of(loaded).mean.size()))),
      weights_(*device_.backend, model_.layout, "weights"),
      evaluator_(*device_.backend, *self_, model_, batch_, views_,
                 pixel_scale(info_of(loaded).mean, info_of(loaded).deviation, model_.shapes.input.channels),
                 options.most_images) {
  weights_.set(read_weights(loaded, model_.layout));
}

}  // namespace convoy
