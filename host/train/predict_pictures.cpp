// The pictures become one set, whose labels nobody reads.
#include "train/predict_pictures.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "convoy/error.hpp"
#include "data/image_file.hpp"
#include "data/image_memory.hpp"
#include "data/parallel.hpp"
#include "data/resize.hpp"
#include "train/picture_extent.hpp"
#include "train/weights_on_device.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;

// Links that lead nowhere too: whoever reads them says so.
bool is_picture_file(const fs::directory_entry& entry) {
  std::error_code ignored;
  return has_picture_name(entry.path().string()) && (entry.is_regular_file(ignored) || !entry.exists(ignored));
}

std::vector<std::string> pictures_in(const std::string& folder) {
  std::vector<std::string> files;
  try {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      if (is_picture_file(entry)) files.push_back(entry.path().string());
    }
  } catch (const fs::filesystem_error& error) {
    fail("{}: cannot be read: {}", error.path1().string(), error.code().message());
  }
  if (files.empty()) fail_usage("{}: holds no .png, .jpg or .jpeg file", folder);
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> files_at(const std::string& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) fail_usage("{}: no such file or folder", path);
  return fs::is_directory(path, ignored) ? pictures_in(path) : std::vector{path};
}

std::vector<PicturePrediction> listed(const std::vector<std::string>& paths) {
  std::vector<PicturePrediction> pictures;
  for (const std::string& path : paths) {
    try {
      for (const std::string& file : files_at(path)) pictures.push_back({file, {}, ""});
    } catch (const Error& error) {
      if (paths.size() == 1) throw;
      pictures.push_back({path, {}, error.what()});  // the others are predicted all the same
    }
  }
  return pictures;
}

// Those that can be read, one after another; the others get their error.
ImageSet decode(std::vector<PicturePrediction>& pictures, const Extent& wanted) {
  std::vector<std::vector<std::uint8_t>> decoded(pictures.size());
  parallel_for(pictures.size(), [&](std::size_t i) {
    if (!pictures[i].error.empty()) return;
    try {
      decoded[i] = fit_to(read_picture(pictures[i].path), wanted);
    } catch (const Error& error) {
      pictures[i].error = error.what();
    }
  });
  const auto readable = [](const PicturePrediction& picture) { return picture.error.empty(); };
  ImageSet set;
  make_room(set, wanted, static_cast<std::size_t>(std::count_if(pictures.begin(), pictures.end(), readable)));
  std::uint8_t* to = set.images.data();
  for (const std::vector<std::uint8_t>& pixels : decoded) {
    if (!pixels.empty()) std::memcpy(to, pixels.data(), pixels.size());
    to += pixels.size();
  }
  return set;
}

}  // namespace

PicturePredictions predict_pictures(const PredictOptions& options, RunConfig config) {
  const LoadedWeights loaded = open_weights(options.weights);
  const WeightsInfo& info = info_of(loaded);
  Network network = parse_network(info.network, options.weights.string());
  PicturePredictions result{info.class_names, listed(options.paths)};
  const ImageSet set = decode(result.pictures, pictures_for(network, info.mean.size()));
  if (set.count() == 0) return result;

  const DataMode mode = config.data_mode;
  const int batch = evaluation_rows(info.evaluation_batch, set.count());
  WeightsOnDevice weights(loaded, std::move(network), std::move(config),
                          {.views = options.views, .batch = batch, .most_images = set.count()});
  DeviceSet images(weights.backend(), set, {.name = "pictures", .mode = mode, .batch = batch});
  const std::vector<float> logits = weights.logits(images);
  const std::size_t classes = info.class_names.size();
  std::size_t row = 0;
  for (PicturePrediction& picture : result.pictures) {
    if (!picture.error.empty()) continue;
    picture.classes = most_probable(std::span(logits).subspan(row++ * classes, classes), options.most);
  }
  return result;
}

}  // namespace convoy
