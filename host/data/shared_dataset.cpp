// The first process writes a dataset_file and tells the others its path.
#include "data/shared_dataset.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>

#include "data/dataset_file.hpp"
#include "data/load.hpp"

namespace convoy {
namespace {

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

bool write(const TemporaryFile& file, const Dataset& data) {
  if (!file.is_open()) return false;
  const DatasetFile contents(data);
  return std::all_of(contents.pieces().begin(), contents.pieces().end(),
                     [&](std::span<const std::byte> piece) { return file.write(piece.data(), piece.size()); });
}

}  // namespace

SharedDataset load_shared_dataset(const LoadOptions& options, Communicator& world) {
  if (world.size() == 1) return {load_dataset(options), ""};
  const std::unique_ptr<Communicator> host = world.split_by_host();
  if (host->size() == 1) return {load_dataset(options), ""};

  std::optional<Dataset> own;
  std::optional<TemporaryFile> file;
  std::string path;  // empty where the file could not be written
  if (host->rank() == 0) {
    own = load_dataset(options);
    file.emplace();
    if (write(*file, *own)) path = file->path();
  }
  path = host->gather(path).front();
  if (path.empty()) {
    return {own ? std::move(*own) : load_dataset(options),
            "the decoded images cannot be written to TMPDIR, so every process of this host reads the data itself"};
  }
  own.reset();  // the first one, too, keeps what all share
  Dataset mapped = map_dataset(path).data;
  host->gather("");  // all have it: the file may go
  return {std::move(mapped), ""};
}

}  // namespace convoy
