// Rebuilds the network from the weights file and runs the evaluation.
#include "train/evaluate_weights.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "convoy/error.hpp"
#include "data/load.hpp"
#include "data/text.hpp"
#include "train/evaluation_picture.hpp"
#include "train/picture_extent.hpp"
#include "train/weights_on_device.hpp"

namespace convoy {
namespace {

Dataset load_test_images(const EvaluateOptions& options, const WeightsInfo& info, const Network& network) {
  Dataset data = load_dataset({.path = options.data,
                               .coarse_labels = options.labels == LabelKind::coarse,
                               .pictures = pictures_for(network, info.mean.size())});
  if (options.test_images > 0) data.test.keep_first(static_cast<std::size_t>(options.test_images));
  CONVOY_CHECK(data.test.count() > 0, "{}: has no test images", data.origin);
  check_goes_with(info, data, data.test.image);
  check_image(network, data.test.image);
  return data;
}

// Labels are numbers: two sets of the same number of other classes would be compared without complaint.
void compare_names(const WeightsInfo& info, Dataset& data) {
  const auto [ours, theirs] = std::mismatch(data.class_names.begin(), data.class_names.end(), info.class_names.begin());
  if (ours == data.class_names.end()) return;
  data.notes.push_back(fmt::format("{}: class {} is '{}', but the weights call it '{}': are these the same classes?",
                                   data.origin, ours - data.class_names.begin(), printable(*ours), printable(*theirs)));
}

void write_logits(const EvaluateOptions& options, WeightsOnDevice& network, DeviceSet& test, const Dataset& data) {
  const std::vector<float> logits = network.plain_logits(test);
  const std::vector<std::int64_t> labels(data.test.labels.begin(), data.test.labels.end());
  const auto count = static_cast<std::int64_t>(data.test.count());
  const TensorView views_of_file[] = {view_of("logits", {count, network.model().shapes.classes}, logits),
                                      view_of("labels", {count}, labels)};
  write_safetensors(options.logits, views_of_file);
}

}  // namespace

WeightsEvaluation evaluate_weights(const EvaluateOptions& options, RunConfig config) {
  const LoadedWeights loaded = open_weights(options.weights);
  const WeightsInfo& info = info_of(loaded);
  Network network = parse_network(info.network, options.weights.string());
  Dataset data = load_test_images(options, info, network);
  compare_names(info, data);

  const DataMode mode = config.data_mode;
  WeightsOnDevice weights(
      loaded, std::move(network), std::move(config),
      {.views = options.views, .batch = options.evaluation_batch, .most_images = data.test.count()});
  DeviceSet test(weights.backend(), data.test, {.name = "test images", .mode = mode, .batch = weights.batch()});
  if (!options.logits.empty()) write_logits(options, weights, test, data);
  WeightsEvaluation evaluation{.result = weights.evaluate(test),
                               .confusion = std::nullopt,
                               .views = weights.views(),
                               .device_line = weights.device_line(),
                               .data_name = data.name,
                               .network_name = weights.model().network.name,
                               .notes = data.notes};
  if (!options.confusion) return evaluation;
  const std::vector<float> logits = weights.logits(test);
  evaluation.confusion = confusion_of(logits, data.test.labels, info.class_names);
  if (options.picture.empty()) return evaluation;
  const std::string title =
      fmt::format("{} on {}: {} of {} test images right, {:.2f} %", evaluation.network_name, data.name,
                  grouped(static_cast<std::uint64_t>(
                      std::llround(evaluation.result.accuracy * static_cast<double>(evaluation.result.samples)))),
                  grouped(data.test.count()), 100 * evaluation.result.accuracy);
  write_evaluation_picture(*evaluation.confusion,
                           most_confident_mistakes(logits, data.test.labels, info.class_names.size(), kMistakesShown),
                           data.test, title, options.picture.string());
  return evaluation;
}

}  // namespace convoy
