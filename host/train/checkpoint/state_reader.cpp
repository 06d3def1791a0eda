#include "train/checkpoint/state_reader.hpp"

#include <cstring>
#include <utility>

namespace convoy {
namespace {

const TensorView& find(const SafetensorsFile& file, std::string_view name, TensorType type) {
  const TensorView* tensor = file.find(name);
  CONVOY_CHECK(tensor != nullptr, "{}: no tensor '{}'", file.origin(), name);
  CONVOY_CHECK(tensor->type == type, "{}: tensor '{}': {} expected, {} found", file.origin(), name, convoy::name(type),
               convoy::name(tensor->type));
  return *tensor;
}

template <typename T>
std::vector<T> elements_of(const TensorView& tensor) {
  std::vector<T> elements(tensor.bytes.size() / sizeof(T));
  if (!elements.empty()) std::memcpy(elements.data(), tensor.bytes.data(), tensor.bytes.size());
  return elements;
}

}  // namespace

StateReader::StateReader(Backend& backend, std::vector<const SafetensorsFile*> files, bool takes_values)
    : backend_(backend), files_(std::move(files)), takes_values_(takes_values) {
  CONVOY_CHECK(!files_.empty(), "state to restore comes from at least one file");
}

void StateReader::device(std::string_view name, float* data, std::size_t count) {
  std::vector<std::vector<float>> parts;
  for (const SafetensorsFile* file : files_) {
    parts.push_back(elements_of<float>(find(*file, name, TensorType::f32)));
    CONVOY_CHECK(parts.back().size() == count, "{}: tensor '{}': {} elements expected, {} found", file->origin(), name,
                 count, parts.back().size());
  }
  std::vector<float>& mean = parts.front();  // of one file its very bits
  for (std::size_t i = 0; parts.size() > 1 && i < count; ++i) {
    double sum = 0;
    for (const std::vector<float>& part : parts) sum += part[i];
    mean[i] = static_cast<float>(sum / static_cast<double>(parts.size()));
  }
  backend_.upload(data, mean.data(), count * sizeof(float));
}

template <typename T>
void StateReader::read(std::string_view name, std::vector<T>& values) const {
  constexpr TensorType type = std::is_same_v<T, double> ? TensorType::f64 : TensorType::i64;
  values = elements_of<T>(find(*files_.front(), name, type));
  for (std::size_t f = 1; f < files_.size(); ++f) {
    const std::vector<T> more = elements_of<T>(find(*files_[f], name, type));
    CONVOY_CHECK(more.size() == values.size(), "{}: tensor '{}': {} elements expected, {} found", files_[f]->origin(),
                 name, values.size(), more.size());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += more[i];
  }
  if (!takes_values_) values.assign(values.size(), T{});
}

}  // namespace convoy
