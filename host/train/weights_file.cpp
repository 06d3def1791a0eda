// Turns tensors at the file's edge, and reads and writes the metadata.
// Metadata (kMetadata): convoy.network (JSON), convoy.mean, convoy.std, convoy.classes (JSON lists), convoy.recipe,
// convoy.views, convoy.evaluation_batch, convoy.precision, convoy.version.
#include "train/weights_file.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "convoy/error.hpp"
#include "io/build_info.hpp"

namespace convoy {
namespace {

using Json = nlohmann::json;

bool is_matrix(const Parameter& parameter) {
  return parameter.kind == ParameterKind::filters || parameter.kind == ParameterKind::dense;
}

// As PyTorch has it: filters [O,I,H,W], dense [O, C*H*W].
std::vector<std::int64_t> torch_shape(const Parameter& parameter) {
  if (parameter.kind == ParameterKind::filters) {
    return {parameter.shape[0], parameter.extent.channels, parameter.extent.height, parameter.extent.width};
  }
  return parameter.shape;
}

// Calls function(ours, theirs) for each element of a row-wise turned tensor: ours in H,W,C, theirs in C,H,W order.
template <typename Function>
void for_each_element(const Parameter& parameter, const Function& function) {
  const Extent& extent = parameter.extent;
  const std::int64_t pixels = std::int64_t{extent.height} * extent.width;
  const std::int64_t row = pixels * extent.channels;
  for (std::int64_t output = 0; output < parameter.shape[0]; ++output) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t channel = 0; channel < extent.channels; ++channel) {
        function(output * row + pixel * extent.channels + channel, output * row + channel * pixels + pixel);
      }
    }
  }
}

void from_torch(const Parameter& parameter, std::span<const float> theirs, float* ours) {
  if (is_matrix(parameter)) {
    for_each_element(parameter, [&](std::int64_t to, std::int64_t from) { ours[to] = theirs[from]; });
  } else {
    std::copy(theirs.begin(), theirs.end(), ours);
  }
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

WeightsInfo parse_info(const SafetensorsFile& file) {
  const auto entry = [&](const std::string& key) -> const std::string& {
    const auto found = file.metadata().find(key);
    CONVOY_CHECK(found != file.metadata().end(), "{}: metadata '{}' is missing", file.origin(), key);
    return found->second;
  };
  WeightsInfo info;
  try {
    info.network = entry("convoy.network");
    info.mean = Json::parse(entry("convoy.mean")).get<std::vector<double>>();
    info.deviation = Json::parse(entry("convoy.std")).get<std::vector<double>>();
    info.class_names = Json::parse(entry("convoy.classes")).get<std::vector<std::string>>();
    info.recipe = entry("convoy.recipe");
    info.views = Json::parse(entry("convoy.views")).get<int>();
    info.precision = entry("convoy.precision");
    info.evaluation_batch = Json::parse(entry("convoy.evaluation_batch")).get<int>();
  } catch (const Json::exception& error) {
    fail("{}: metadata cannot be read: {}", file.origin(), error.what());
  }
  const bool is_sound = !info.mean.empty() && info.mean.size() == info.deviation.size() && !info.class_names.empty() &&
                        (info.views == 1 || info.views == 2 || info.views == 6) && info.evaluation_batch > 0;
  CONVOY_CHECK(is_sound, "{}: metadata contradict each other", file.origin());
  return info;
}

}  // namespace

WrittenFile save_weights(const std::filesystem::path& path, const ParamLayout& layout, std::span<const float> values,
                         const WeightsInfo& info) {
  std::vector<std::vector<float>> turned(layout.parameters.size());
  std::vector<TensorView> views;
  for (std::size_t i = 0; i < layout.parameters.size(); ++i) {
    const Parameter& parameter = layout.parameters[i];
    const std::span<const float> ours = values.subspan(parameter.offset, parameter.count);
    if (is_matrix(parameter)) {
      turned[i].resize(parameter.count);
      for_each_element(parameter, [&](std::int64_t from, std::int64_t to) { turned[i][to] = ours[from]; });
      views.push_back(view_of(parameter.name, torch_shape(parameter), turned[i]));
    } else {
      views.push_back(view_of(parameter.name, torch_shape(parameter), ours));
    }
  }
  return write_safetensors(path, views,
                           {{"convoy.network", info.network},
                            {"convoy.mean", Json(info.mean).dump()},
                            {"convoy.std", Json(info.deviation).dump()},
                            {"convoy.classes", Json(info.class_names).dump()},
                            {"convoy.recipe", info.recipe},
                            {"convoy.views", std::to_string(info.views)},
                            {"convoy.evaluation_batch", std::to_string(info.evaluation_batch)},
                            {"convoy.precision", info.precision},
                            {"convoy.version", std::string(build_info().version)}});
}

LoadedWeights open_weights(const std::filesystem::path& path) {
  LoadedWeights weights{SafetensorsFile::open(path), std::nullopt};
  if (weights.file.metadata().contains("convoy.network")) weights.info = parse_info(weights.file);
  return weights;
}

const WeightsInfo& info_of(const LoadedWeights& weights) {
  CONVOY_CHECK(weights.info.has_value(), "{}: has no network in its metadata, so it was not written by convoy",
               weights.file.origin());
  return *weights.info;
}

void check_goes_with(const WeightsInfo& info, const Dataset& data, const Extent& image) {
  CONVOY_CHECK(data.classes() == static_cast<int>(info.class_names.size()), "{}: {} classes, but the weights know {}",
               data.origin, data.classes(), info.class_names.size());
  CONVOY_CHECK(image.channels == static_cast<int>(info.mean.size()),
               "{}: images of {} channels, but the weights were trained on {}", data.origin, image.channels,
               info.mean.size());
}

std::vector<float> read_weights(const LoadedWeights& weights, const ParamLayout& layout) {
  std::vector<float> values(layout.total_elements);
  for (const Parameter& parameter : layout.parameters) {
    from_torch(parameter, weights.file.floats(parameter.name, torch_shape(parameter)),
               values.data() + parameter.offset);
  }
  return values;
}

std::vector<std::string> initialise_from(const LoadedWeights& weights, const ParamLayout& layout,
                                         std::span<float> values) {
  const int head =
      std::max_element(layout.parameters.begin(), layout.parameters.end(), [](const Parameter& a, const Parameter& b) {
        return a.layer < b.layer;
      })->layer;
  std::vector<std::string> kept;
  for (const Parameter& parameter : layout.parameters) {
    const TensorView* tensor = weights.file.find(parameter.name);
    CONVOY_CHECK(tensor != nullptr, "{}: tensor '{}' is missing; the file belongs to another network",
                 weights.file.origin(), parameter.name);
    const std::vector<std::int64_t> wanted = torch_shape(parameter);
    if (tensor->shape != wanted) {
      const bool is_other_head = parameter.layer == head && tensor->shape.size() == wanted.size() &&
                                 std::equal(wanted.begin() + 1, wanted.end(), tensor->shape.begin() + 1);
      CONVOY_CHECK(is_other_head, "{}: tensor '{}' has shape {}, {} expected; the file belongs to another network",
                   weights.file.origin(), parameter.name, shape_text(tensor->shape), shape_text(wanted));
      kept.push_back(parameter.name);
      continue;
    }
    from_torch(parameter, weights.file.floats(parameter.name, wanted), values.data() + parameter.offset);
  }
  return kept;
}

}  // namespace convoy
