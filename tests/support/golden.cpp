// See golden.hpp. Every line of the fill has its twin in tests/golden/fill.py.
#include "support/golden.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <span>

#include "convoy/error.hpp"
#include "support/places.hpp"

namespace convoy::golden {
namespace {

constexpr std::uint32_t mix(std::uint32_t x) {
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  x *= 0x846CA68Bu;
  return x ^ (x >> 16);
}

constexpr std::uint32_t fnv1a(std::string_view text) {
  std::uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

constexpr std::uint32_t bits_of(std::uint32_t key, std::uint32_t index) { return mix(mix(key) + index); }

constexpr double symmetric_of(std::uint32_t bits) { return static_cast<double>(bits >> 8) * 0x1p-23 - 1.0; }

std::int64_t elements(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t side : shape) count *= side;
  return count;
}

std::string_view last_part(std::string_view name) { return name.substr(name.rfind('.') + 1); }

std::string seeded(std::string_view what, int seed) { return std::string(what) + std::to_string(seed); }

template <typename T>
std::vector<double> widened(std::span<const std::byte> bytes) {
  std::vector<T> raw(bytes.size() / sizeof(T));
  std::memcpy(raw.data(), bytes.data(), raw.size() * sizeof(T));
  return {raw.begin(), raw.end()};
}

}  // namespace

std::uint32_t bits(std::string_view name, std::uint32_t index) { return bits_of(fnv1a(name), index); }

double symmetric(std::string_view name, std::uint32_t index) { return symmetric_of(bits(name, index)); }

std::vector<float> parameter(const std::string& name, const std::vector<std::int64_t>& shape) {
  const auto count = static_cast<std::size_t>(elements(shape));
  const std::string_view kind = last_part(name);
  if (kind == "running_mean") return std::vector<float>(count, 0.0F);
  if (kind == "running_var") return std::vector<float>(count, 1.0F);
  double centre = 0, spread = 0.1;
  if (shape.size() > 1) {
    spread = std::sqrt(3.0 / static_cast<double>(elements(shape) / shape[0]));
  } else if (kind == "weight") {
    centre = 1, spread = 0.2;
  }
  std::vector<float> values(count);
  const std::uint32_t key = fnv1a(name);
  for (std::size_t i = 0; i < count; ++i) {
    const double product = spread * symmetric_of(bits_of(key, static_cast<std::uint32_t>(i)));
    values[i] = static_cast<float>(centre + product);
  }
  return values;
}

std::vector<std::uint8_t> images(std::size_t first, std::size_t count, std::size_t elements_each, int seed) {
  std::vector<std::uint8_t> pixels(count * elements_each);
  const std::uint32_t key = fnv1a(seeded("images", seed));
  const std::size_t start = first * elements_each;
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<std::uint8_t>(bits_of(key, static_cast<std::uint32_t>(start + i)) >> 24);
  }
  return pixels;
}

std::vector<std::int32_t> labels(std::size_t first, std::size_t count, int classes, int seed) {
  std::vector<std::int32_t> values(count);
  const std::uint32_t key = fnv1a(seeded("labels", seed));
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<std::int32_t>(bits_of(key, static_cast<std::uint32_t>(first + i)) %
                                          static_cast<std::uint32_t>(classes));
  }
  return values;
}

File::File(const std::string& name)
    : file_(SafetensorsFile::open(test::source_folder() / "tests" / "golden" / (name + ".safetensors"))) {}

bool File::has(const std::string& tensor) const { return file_.find(tensor) != nullptr; }

std::vector<double> File::values(const std::string& tensor) const {
  const TensorView* found = file_.find(tensor);
  CONVOY_CHECK(found != nullptr, "{}: no tensor '{}'; make it again (tests/golden/make_golden.py)", file_.origin(),
               tensor);
  CONVOY_CHECK(found->type == TensorType::f64 || found->type == TensorType::i64,
               "{}: tensor '{}': F64 or I64 expected, {} found", file_.origin(), tensor, convoy::name(found->type));
  return found->type == TensorType::f64 ? widened<double>(found->bytes) : widened<std::int64_t>(found->bytes);
}

double File::value(const std::string& tensor) const { return values(tensor).at(0); }

const std::string& File::text(const std::string& key) const {
  const auto found = file_.metadata().find(key);
  CONVOY_CHECK(found != file_.metadata().end(), "{}: no metadata '{}'; make it again (tests/golden/make_golden.py)",
               file_.origin(), key);
  return found->second;
}

double File::number(const std::string& key) const { return std::stod(text(key)); }

std::vector<std::string> File::names_under(const std::string& prefix) const {
  constexpr std::string_view kEnd = ".norm";
  std::vector<std::string> names;
  for (const TensorView& tensor : file_.tensors()) {
    if (tensor.name.starts_with(prefix) && tensor.name.ends_with(kEnd)) {
      names.push_back(tensor.name.substr(0, tensor.name.size() - kEnd.size()));
    }
  }
  return names;
}

double difference(const File& file, const std::string& name, const std::vector<float>& values) {
  double square = 0, sum = 0;
  for (const float value : values) {
    square += static_cast<double>(value) * value;
    sum += value;
  }
  const auto count = static_cast<double>(values.size());
  CONVOY_CHECK(file.value(name + ".count") == count, "golden tensor '{}': {} elements expected, {} found", name,
               file.value(name + ".count"), count);
  const double norm = file.value(name + ".norm");
  const std::vector<double> samples = file.values(name + ".samples");
  constexpr double kTiny = 1e-30;  // a tensor that is zero everywhere

  double largest = std::max(std::abs(std::sqrt(square) - norm) / (norm + kTiny),
                            std::abs(sum - file.value(name + ".sum")) / (norm * std::sqrt(count) + kTiny));
  double scale = norm / std::sqrt(count) + kTiny;
  for (const double sample : samples) scale = std::max(scale, std::abs(sample));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const std::size_t position = bits("sample", static_cast<std::uint32_t>(i)) % values.size();
    largest = std::max(largest, std::abs(values[position] - samples[i]) / scale);
  }
  return largest;
}

}  // namespace convoy::golden
