// Sums in double precision: the order of the files does not matter to fp32.
#include "train/average_weights.hpp"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "convoy/communicator.hpp"
#include "convoy/error.hpp"
#include "data/load.hpp"
#include "train/device_set.hpp"
#include "train/devices.hpp"
#include "train/evaluator.hpp"
#include "train/picture_extent.hpp"
#include "train/recalibration.hpp"
#include "train/weights_file.hpp"

namespace convoy {
namespace {

void check_alike(const WeightsInfo& info, const WeightsInfo& first, const AverageOptions& options, std::size_t file) {
  const char* what = info.network != first.network                                  ? "network"
                     : info.mean != first.mean || info.deviation != first.deviation ? "normalisation of pixels"
                     : info.class_names != first.class_names                        ? "classes"
                                                                                    : nullptr;
  CONVOY_CHECK(what == nullptr, "{}: another {} than in {}", options.weights[file].string(), what,
               options.weights.front().string());
}

// The statistics in `values` become those of the data.
std::string recalibrate(std::vector<float>& values, const Model& model, const WeightsInfo& info, int batches,
                        RunConfig config) {
  const Dataset data = load_dataset({.path = config.data,
                                     .coarse_labels = config.labels == LabelKind::coarse,
                                     .pictures = pictures_for(model.network, info.mean.size())});
  CONVOY_CHECK(data.train.count() > 0, "{}: has no training images", data.origin);
  check_goes_with(info, data, data.train.image);
  check_image(model.network, data.train.image);
  config.batch = evaluation_rows(config.batch, data.train.count());
  const ChosenDevice device = choose_device(config);
  const std::unique_ptr<Communicator> self = make_self_communicator();
  DeviceSet training(*device.backend, data.train,
                     {.name = "training images", .mode = config.data_mode, .batch = config.batch});
  config.recalibrate = batches;
  const int possible = recalibration_batches(config, model, 1, data.train.count(), config.batch);
  if (possible == 0) return "the network has no normalisation statistics: nothing to recalibrate";
  Weights weights(*device.backend, model.layout, "weights");
  weights.set(values);
  Recalibration(*device.backend, *self, model, config, training,
                pixel_scale(info.mean, info.deviation, model.shapes.input.channels), config.batch, possible)
      .run(weights, 0);
  values = weights.values();
  return fmt::format("normalisation statistics of {} batches of {} images", possible, config.batch);
}

}  // namespace

std::vector<std::string> average_weights(const AverageOptions& options, RunConfig config) {
  std::vector<double> sums;
  WeightsInfo first;
  std::optional<Model> model;
  for (std::size_t file = 0; file < options.weights.size(); ++file) {
    const LoadedWeights loaded = open_weights(options.weights[file]);
    const WeightsInfo& info = info_of(loaded);
    if (file == 0) {
      first = info;
      model = make_model(parse_network(info.network, options.weights[file].string()),
                         static_cast<int>(info.class_names.size()), static_cast<int>(info.mean.size()));
      sums.assign(model->layout.total_elements, 0.0);
    }
    check_alike(info, first, options, file);
    const std::vector<float> values = read_weights(loaded, model->layout);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<double>(values[i]);
  }
  std::vector<float> means(sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    means[i] = static_cast<float>(sums[i] / static_cast<double>(options.weights.size()));
  }
  std::vector<std::string> lines;
  if (options.recalibrate > 0) {
    lines.push_back(recalibrate(means, *model, first, options.recalibrate, std::move(config)));
  }
  save_weights(options.out, model->layout, means, first);
  lines.push_back(fmt::format("{}: the mean of {} weights files of {}", options.out.string(), options.weights.size(),
                              model->network.name));
  return lines;
}

}  // namespace convoy
