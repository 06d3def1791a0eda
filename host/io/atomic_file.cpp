// POSIX calls, because std::ofstream can neither sync nor say why it failed.
#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "convoy/error.hpp"

namespace convoy {
namespace {

class File {
 public:
  File(const std::filesystem::path& path, int flags, mode_t mode = 0)
      : descriptor_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

// Removes the temporary file unless it was renamed.
class Temporary {
 public:
  explicit Temporary(std::filesystem::path path) : path_(std::move(path)) {}
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (!is_renamed_) ::unlink(path_.c_str());
  }
  const std::filesystem::path& path() const { return path_; }
  void rename_to(const std::filesystem::path& target) {
    CONVOY_CHECK(::rename(path_.c_str(), target.c_str()) == 0, "{}: cannot be put in place: {}", target.string(),
                 std::strerror(errno));
    is_renamed_ = true;
  }

 private:
  std::filesystem::path path_;
  bool is_renamed_ = false;
};

void write_all(int file, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    CONVOY_CHECK(written > 0, "{}: cannot be written: {}", path.string(), std::strerror(written < 0 ? errno : ENOSPC));
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

// Renaming over a device would take it away.
bool is_special(const std::filesystem::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::span<const std::span<const std::byte>> pieces) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  CONVOY_CHECK(!is_special(path), "{}: a device or a pipe, where a file cannot be put in place: name a file",
               path.string());
  const std::string temporary_name = fmt::format(".{}.{}.tmp", path.filename().string(), ::getpid());
  {
    const File file(folder / temporary_name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    CONVOY_CHECK(file.get() >= 0, "{}: cannot be written: {}", path.string(), std::strerror(errno));
    Temporary temporary(folder / temporary_name);
    for (const std::span<const std::byte> piece : pieces) write_all(file.get(), piece, path);
    CONVOY_CHECK(::fsync(file.get()) == 0, "{}: cannot be written: {}", path.string(), std::strerror(errno));
    temporary.rename_to(path);
  }
  sync_folder(folder);
}

void sync_folder(const std::filesystem::path& folder) noexcept {
  const File opened(folder, O_RDONLY | O_DIRECTORY);
  if (opened.get() >= 0) ::fsync(opened.get());
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text.data(), text.size()));
  write_file_atomically(path, std::span(&bytes, 1));
}

std::vector<std::byte> read_file(const std::filesystem::path& path, std::size_t limit) {
  const File file(path, O_RDONLY);
  CONVOY_CHECK(file.get() >= 0, "{}: cannot be read: {}", path.string(), std::strerror(errno));
  struct stat status {};
  CONVOY_CHECK(::fstat(file.get(), &status) == 0, "{}: cannot be read: {}", path.string(), std::strerror(errno));
  CONVOY_CHECK(S_ISREG(status.st_mode), "{}: a file expected, something else found", path.string());
  const auto size = static_cast<std::size_t>(status.st_size);
  CONVOY_CHECK(size <= limit, "{}: at most {} bytes expected, {} found", path.string(), limit, size);
  std::vector<std::byte> bytes(size);
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(file.get(), bytes.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    CONVOY_CHECK(got >= 0, "{}: cannot be read: {}", path.string(), std::strerror(errno));
    CONVOY_CHECK(got > 0, "{}: {} bytes expected, {} found: it shrank while it was read", path.string(), size, done);
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace convoy
