// The file holds pixels and labels as they lie in memory; what else there is to say travels as JSON.
#include "data/shared_dataset.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "convoy/error.hpp"
#include "data/load.hpp"

namespace convoy {
namespace {

using Json = nlohmann::json;

// A file that has no name any more once it is destroyed.
class TemporaryFile {
 public:
  TemporaryFile() {
    const char* folder = std::getenv("TMPDIR");
    path_ = fmt::format("{}/convoy-data-XXXXXX", folder == nullptr || *folder == '\0' ? "/tmp" : folder);
    descriptor_ = ::mkostemp(path_.data(), O_CLOEXEC);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(path_.c_str());
  }

  bool is_open() const { return descriptor_ >= 0; }
  const std::string& path() const { return path_; }
  bool write(const void* data, std::size_t bytes) const {
    const auto* from = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t written = ::write(descriptor_, from, bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return false;
      from += written;
      bytes -= static_cast<std::size_t>(written);
    }
    return true;
  }

 private:
  std::string path_;
  int descriptor_ = -1;
};

bool write(const TemporaryFile& file, const ImageSet& set) {
  return file.write(set.pixels(), set.pixel_bytes()) &&
         file.write(set.labels.data(), set.labels.size() * sizeof(std::int32_t));
}

Json describe(const ImageSet& set) {
  return {{"height", set.image.height},
          {"width", set.image.width},
          {"channels", set.image.channels},
          {"count", set.count()}};
}

// What the others need to map it; empty where the file could not be written.
std::string write_for_others(const TemporaryFile& file, const Dataset& data) {
  if (!file.is_open() || !write(file, data.train) || !write(file, data.test)) return "";
  return Json{{"path", file.path()},        {"name", data.name},
              {"origin", data.origin},      {"class_names", data.class_names},
              {"checksum", data.checksum},  {"train", describe(data.train)},
              {"test", describe(data.test)}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::shared_ptr<const std::byte> map(const std::string& path, std::size_t bytes) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  CONVOY_CHECK(descriptor >= 0, "{}: cannot be opened: {}", path, std::strerror(errno));
  void* data = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  ::close(descriptor);
  CONVOY_CHECK(data != MAP_FAILED, "{}: cannot be mapped: {}", path, std::strerror(errno));
  return {static_cast<const std::byte*>(data),
          [bytes](const std::byte* mapped) { ::munmap(const_cast<std::byte*>(mapped), bytes); }};
}

std::size_t pixel_bytes(const Json& set) {
  return set["count"].get<std::size_t>() * set["height"].get<std::size_t>() * set["width"].get<std::size_t>() *
         set["channels"].get<std::size_t>();
}
std::size_t label_bytes(const Json& set) { return set["count"].get<std::size_t>() * sizeof(std::int32_t); }

ImageSet image_set(const Json& json, const std::shared_ptr<const std::byte>& file, std::size_t offset) {
  ImageSet set;
  set.image = {json["height"], json["width"], json["channels"]};
  const std::byte* begin = file.get() + offset;
  set.mapped = {file, reinterpret_cast<const std::uint8_t*>(begin)};
  set.labels.resize(json["count"].get<std::size_t>());
  std::memcpy(set.labels.data(), begin + pixel_bytes(json), label_bytes(json));
  return set;
}

Dataset map_dataset(const std::string& description) {
  const Json json = Json::parse(description);
  const std::size_t train_bytes = pixel_bytes(json["train"]) + label_bytes(json["train"]);
  const std::size_t test_bytes = pixel_bytes(json["test"]) + label_bytes(json["test"]);
  const std::shared_ptr<const std::byte> file = map(json["path"], train_bytes + test_bytes);
  Dataset data;
  data.name = json["name"];
  data.origin = json["origin"];
  data.class_names = json["class_names"];
  data.checksum = json["checksum"];
  data.train = image_set(json["train"], file, 0);
  data.test = image_set(json["test"], file, train_bytes);
  return data;
}

}  // namespace

SharedDataset load_shared_dataset(const LoadOptions& options, Communicator& world) {
  if (world.size() == 1) return {load_dataset(options), ""};
  const std::unique_ptr<Communicator> host = world.split_by_host();
  if (host->size() == 1) return {load_dataset(options), ""};

  std::optional<Dataset> own;
  std::optional<TemporaryFile> file;
  std::string description;
  if (host->rank() == 0) {
    own = load_dataset(options);
    file.emplace();
    description = write_for_others(*file, *own);
  }
  description = host->gather(description).front();
  if (description.empty()) {
    return {own ? std::move(*own) : load_dataset(options),
            "the decoded images cannot be written to TMPDIR, so every process of this host reads the data itself"};
  }
  own.reset();  // the first one, too, keeps what all share
  Dataset mapped = map_dataset(description);
  host->gather("");  // all have it: the file may go
  return {std::move(mapped), ""};
}

}  // namespace convoy
