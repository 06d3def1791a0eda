// Rebuilds the network from the weights file and runs the evaluation.
#include "train/evaluate_weights.hpp"

#include "convoy/error.hpp"
#include "data/load.hpp"
#include "train/devices.hpp"
#include "train/run_options.hpp"
#include "train/weights_file.hpp"

namespace convoy {

WeightsEvaluation evaluate_weights(const EvaluateOptions& options, RunConfig config) {
  const LoadedWeights loaded = open_weights(options.weights);
  const WeightsInfo& info = info_of(loaded);
  Dataset data = load_dataset({.path = options.data, .coarse_labels = options.labels == LabelKind::coarse});
  if (options.test_images > 0) data.test.keep_first(static_cast<std::size_t>(options.test_images));
  CONVOY_CHECK(data.test.count() > 0, "{}: has no test images", data.origin);
  CONVOY_CHECK(data.classes() == static_cast<int>(info.class_names.size()), "{}: {} classes, but the weights know {}",
               data.origin, data.classes(), info.class_names.size());
  CONVOY_CHECK(data.test.image.channels == static_cast<int>(info.mean.size()),
               "{}: images of {} channels, but the weights were trained on {}", data.origin, data.test.image.channels,
               info.mean.size());

  if (!config.is_from_command_line("precision")) {
    set_option(config, "precision", info.precision, options.weights.string() + ": metadata convoy.", info.recipe);
  }
  ChosenDevice device = choose_device(config);
  Backend& backend = *device.backend;
  const Model model =
      make_model(parse_network(info.network, options.weights.string()), data.classes(), data.test.image.channels);
  check_image(model.network, data.test.image);
  Weights weights(backend, model.layout, "weights");
  weights.set(read_weights(loaded, model.layout));

  const std::unique_ptr<Communicator> self = make_self_communicator();
  const int batch = options.evaluation_batch.value_or(info.evaluation_batch);
  DeviceSet test(backend, data.test, {.name = "test images", .mode = config.data_mode, .batch = batch});
  const int views = options.views.value_or(info.views);
  Evaluator evaluator(backend, *self, model, batch, views,
                      pixel_scale(info.mean, info.deviation, model.shapes.input.channels), data.test.count());
  if (!options.logits.empty()) {
    const std::vector<float> logits = evaluator.logits(weights, test);
    const std::vector<std::int64_t> labels(data.test.labels.begin(), data.test.labels.end());
    const auto count = static_cast<std::int64_t>(data.test.count());
    const TensorView views_of_file[] = {view_of("logits", {count, model.shapes.classes}, logits),
                                        view_of("labels", {count}, labels)};
    write_safetensors(options.logits, views_of_file);
  }
  return {*evaluator.evaluate(weights, test), views, device.line, data.name, model.network.name};
}

}  // namespace convoy
