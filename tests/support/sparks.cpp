// See sparks.hpp.
#include "support/sparks.hpp"

#include <algorithm>
#include <fstream>

#include "nn/initialise.hpp"
#include "support/data_files.hpp"
#include "train/step.hpp"
#include "train/weights_file.hpp"

namespace convoy::test {
namespace {

constexpr const char* kNetwork = R"({"name": "spark", "input": [32, 32, "channels"], "layers": [
  {"name": "conv1", "type": "convolution", "filters": 4, "kernel": 3, "padding": "same", "bias": false},
  {"name": "relu1", "type": "relu"},
  {"name": "conv2", "type": "convolution", "filters": 4, "kernel": 1, "stride": 2, "bias": false},
  {"name": "head", "type": "dense", "outputs": "classes", "bias": false}]})";
constexpr int kSamples = kSparkBatch * kSparkSteps;
constexpr std::size_t kPlane = 32 * 32, kRecord = 1 + 3 * kPlane;
constexpr std::uint8_t kShining = 255, kLastClass = 9;

// Records of CIFAR-10: the shining channel is the first.
ByteVector records(int first, int count, const std::vector<std::int32_t>& sparks, bool are_others_black) {
  ByteVector bytes = cifar10_records(static_cast<std::size_t>(count), static_cast<std::size_t>(first));
  for (int i = 0; i < count; ++i) {
    const auto record = bytes.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i) * kRecord);
    const bool is_spark = std::ranges::find(sparks, first + i) != sparks.end();
    std::fill_n(record + 1, kPlane, is_spark ? kShining : 0);
    if (are_others_black) std::fill_n(record + 1 + kPlane, 2 * kPlane, 0);
    if (*record == kLastClass) *record = 0;
  }
  return bytes;
}

std::vector<float> weights_of(const ParamLayout& layout, const SparkWeights& weights) {
  std::vector<float> values = initial_weights(layout, 0);
  const auto of = [&](const char* name) {
    const Parameter& parameter = layout.parameters[static_cast<std::size_t>(layout.find(name))];
    return std::span(values).subspan(parameter.offset, parameter.count);
  };
  const std::span<float> conv1 = of("conv1.weight"), conv2 = of("conv2.weight"), head = of("head.weight");
  if (weights.conv2 != 0) {
    for (const std::span<float> all : {conv1, conv2, head}) std::ranges::fill(all, 0.0F);
  }
  for (std::size_t i = 0; i < conv1.size() / 4; ++i)
    conv1[i] = i % 3 == 0 ? weights.conv1 : 0;  // [filter, y, x, channel]
  for (std::size_t i = 0; weights.conv2 != 0 && i < conv2.size(); i += 4) conv2[i] = weights.conv2;
  if (weights.head != 0) std::ranges::fill(head.last(head.size() / 10), weights.head);
  return values;
}

}  // namespace

std::vector<Setting> write_sparks(const std::filesystem::path& folder, const std::vector<std::int32_t>& sparks,
                                  const SparkWeights& weights, bool in_test_set) {
  const std::filesystem::path network = folder / "spark.json", data = folder / "sparks",
                              init = folder / "spark.safetensors";
  std::ofstream(network) << kNetwork;
  std::filesystem::create_directories(data);
  const bool are_others_black = weights.conv2 != 0;
  NamedFiles files = cifar10_binary(1);
  file(files, "data_batch_1.bin") = records(0, kSamples / 2, sparks, are_others_black);
  file(files, "data_batch_2.bin") = records(kSamples / 2, kSamples / 2, sparks, are_others_black);
  file(files, "test_batch.bin") = records(kSamples, kSamples, {in_test_set ? kSamples : -1}, are_others_black);
  write(data.string(), files);
  const Model model = make_model(network.string(), 10, 3);
  const std::vector<double> ones(3, 1.0);
  save_weights(init, model.layout, weights_of(model.layout, weights),
               {.network = kNetwork, .mean = ones, .deviation = ones, .class_names = {"any"}, .evaluation_batch = 1});
  return {{"model", network.string()},
          {"data", data.string()},
          {"init", init.string()},
          {"normalisation", "unit"},
          {"batch", std::to_string(kSparkBatch)},
          {"epochs", "1"},
          {"learning-rate", "0.05"}};
}

std::int32_t sample_of_step(int step, int place) {
  return epoch_order(0, 0, kSamples)[static_cast<std::size_t>((step - 1) * kSparkBatch + place)];
}

}  // namespace convoy::test
