// The description has what is not pixels and labels; nothing that it says is believed before it was compared with the
// file's size.
#include "data/dataset_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "convoy/error.hpp"

namespace convoy {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSignature = "ConvoyD1";
constexpr std::size_t kHeadBytes = kSignature.size() + sizeof(std::uint64_t);
constexpr std::size_t kMostElements = std::size_t{1} << 46;  // no product of two of these sizes overflows

Json describe(const ImageSet& set) {
  return {{"height", set.image.height},
          {"width", set.image.width},
          {"channels", set.image.channels},
          {"count", set.count()}};
}

template <typename T>
std::span<const std::byte> bytes_of(const T* values, std::size_t count) {
  return {reinterpret_cast<const std::byte*>(values), count * sizeof(T)};
}

// Unmapped when the last set that lies in it is gone.
struct Mapping {
  std::shared_ptr<const std::byte> bytes;
  std::size_t size = 0;
};

Mapping map(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  CONVOY_CHECK(descriptor >= 0, "{}: cannot be opened: {}", path, std::strerror(errno));
  struct stat status {};
  void* data = MAP_FAILED;
  if (::fstat(descriptor, &status) == 0 && status.st_size > 0) {
    data = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_SHARED, descriptor, 0);
  }
  ::close(descriptor);
  CONVOY_CHECK(data != MAP_FAILED, "{}: cannot be mapped", path);
  const auto size = static_cast<std::size_t>(status.st_size);
  return {{static_cast<const std::byte*>(data),
           [size](const std::byte* mapped) { ::munmap(const_cast<std::byte*>(mapped), size); }},
          size};
}

std::size_t set_bytes(const Json& set) {
  std::size_t elements = 1;
  for (const char* side : {"height", "width", "channels", "count"}) {
    const auto size = set.at(side).get<std::size_t>();
    CONVOY_CHECK(size == 0 || elements <= kMostElements / size, "its sets are too large");
    elements *= size;
  }
  return elements + set.at("count").get<std::size_t>() * sizeof(std::int32_t);
}

ImageSet image_set(const Json& json, const Mapping& file, std::size_t offset) {
  ImageSet set;
  set.image = {json["height"], json["width"], json["channels"]};
  const std::byte* begin = file.bytes.get() + offset;
  set.mapped = {file.bytes, reinterpret_cast<const std::uint8_t*>(begin)};
  set.labels.resize(json["count"].get<std::size_t>());
  std::memcpy(set.labels.data(), begin + set.pixel_bytes(), set.labels.size() * sizeof(std::int32_t));
  return set;
}

}  // namespace

DatasetFile::DatasetFile(const Dataset& data, const std::string& key) {
  const std::string description = Json{
      {"key", key},
      {"name", data.name},
      {"origin", data.origin},
      {"class_names", data.class_names},
      {"notes", data.notes},
      {"checksum", data.checksum},
      {"train", describe(data.train)},
      {"test", describe(data.test)}}.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::uint64_t length = description.size();
  head_.append(kSignature).append(reinterpret_cast<const char*>(&length), sizeof length).append(description);
  pieces_.push_back(bytes_of(head_.data(), head_.size()));
  for (const ImageSet* set : {&data.train, &data.test}) {
    pieces_.push_back(bytes_of(set->pixels(), set->pixel_bytes()));
    pieces_.push_back(bytes_of(set->labels.data(), set->count()));
  }
}

MappedDataset map_dataset(const std::filesystem::path& path) {
  const Mapping file = map(path.string());
  const auto* text = reinterpret_cast<const char*>(file.bytes.get());
  CONVOY_CHECK(file.size >= kHeadBytes && std::string_view(text, kSignature.size()) == kSignature,
               "{}: not a decoded data set", path.string());
  std::uint64_t length = 0;
  std::memcpy(&length, text + kSignature.size(), sizeof length);
  CONVOY_CHECK(length <= file.size - kHeadBytes, "{}: cut", path.string());
  try {
    const Json json = Json::parse(std::string_view(text + kHeadBytes, length));
    const std::size_t train = kHeadBytes + length, test = train + set_bytes(json.at("train"));
    CONVOY_CHECK(file.size == test + set_bytes(json.at("test")), "{}: cut", path.string());
    MappedDataset mapped;
    mapped.key = json.at("key");
    mapped.data.name = json.at("name");
    mapped.data.origin = json.at("origin");
    mapped.data.class_names = json.at("class_names");
    mapped.data.notes = json.at("notes");
    mapped.data.checksum = json.at("checksum");
    mapped.data.train = image_set(json["train"], file, train);
    mapped.data.test = image_set(json["test"], file, test);
    return mapped;
  } catch (const Json::exception& error) {
    fail("{}: its description cannot be read: {}", path.string(), error.what());
  }
}

}  // namespace convoy
