// What lies at a path, as the readers see it.
#include "data/source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "convoy/error.hpp"
#include "data/gzip.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

// libarchive hands out decompressed blocks of 64 KiB, and only whole ones where the input is cut.
constexpr std::size_t kCompressedHeadBytes = 128 * 1024;

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// An open file descriptor that closes itself.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) fail("{}: cannot be opened: {}", path_, std::generic_category().message(errno));
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() { ::close(descriptor_); }

  std::uint64_t size() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) fail("{}: {}", path_, std::generic_category().message(errno));
    CONVOY_CHECK(S_ISREG(status.st_mode), "{}: a regular file expected, found something else", path_);
    return static_cast<std::uint64_t>(status.st_size);
  }

  Bytes read(std::uint64_t offset, std::size_t count) const {
    Bytes result(count);
    result.size = read_into(offset, {result.data.get(), count});
    return result;
  }

  // The number of bytes read: fewer than asked for only at the file's end.
  std::size_t read_into(std::uint64_t offset, std::span<std::uint8_t> place) const {
    std::size_t filled = 0;
    while (filled < place.size()) {
      const ssize_t got =
          ::pread(descriptor_, place.data() + filled, place.size() - filled, static_cast<off_t>(offset + filled));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("{}: cannot be read: {}", path_, std::generic_category().message(errno));
      if (got == 0) break;
      filled += static_cast<std::size_t>(got);
    }
    return filled;
  }

 private:
  std::string path_;
  int descriptor_;
};

void sort_by_name(std::vector<SourceFile>& files) {
  std::sort(files.begin(), files.end(), [](const SourceFile& a, const SourceFile& b) { return a.shown() < b.shown(); });
}

Source unpack(Source source, const SourceFile& file) {
  source.kind = SourceKind::archive;
  for (ArchiveMember& member : file.members()) {
    source.files.emplace_back(file.shown() + ": " + printable(member.name), std::move(member.contents));
  }
  sort_by_name(source.files);
  return source;
}

Source of_single_file(Source source, SourceFile file) {
  if (is_tar(file.head().view())) return unpack(std::move(source), file);
  source.kind = SourceKind::file;
  source.files.push_back(std::move(file));
  return source;
}

}  // namespace

SourceFile::SourceFile(std::string shown, std::string path) : shown_(std::move(shown)), path_(std::move(path)) {
  const OpenFile file(path_);
  size_ = file.size();
  head_ = file.read(0, kHeadBytes);
  if (is_gzip(head_.view())) head_ = file.read(0, kCompressedHeadBytes);
  look_at_head();
}

SourceFile::SourceFile(std::string shown, Bytes contents)
    : shown_(std::move(shown)), memory_(std::move(contents)), size_(memory_.size) {
  head_ = memory_;
  head_.size = std::min(memory_.size, is_gzip(memory_.view()) ? kCompressedHeadBytes : kHeadBytes);
  look_at_head();
}

void SourceFile::look_at_head() {
  name_ = last_part(shown_);
  is_compressed_ = is_gzip(head_.view());
  if (!is_compressed_) return;
  if (name_.ends_with(".gz")) name_.resize(name_.size() - 3);
  head_ = gunzip_head(head_.view(), kHeadBytes);
}

Bytes SourceFile::stored() const {
  if (path_.empty()) return memory_;
  CONVOY_CHECK(size_ <= kMaxTotalBytes, "{}: at most {} bytes expected, found {}", shown_, grouped(kMaxTotalBytes),
               grouped(size_));
  return OpenFile(path_).read(0, size_);
}

Bytes SourceFile::contents() const {
  const Bytes bytes = stored();
  return is_compressed_ ? gunzip(bytes.view(), shown_) : bytes;
}

std::vector<ArchiveMember> SourceFile::members() const { return read_archive(stored().view(), shown_); }

Bytes SourceFile::piece(std::uint64_t offset, std::size_t count) const {
  if (!path_.empty()) return OpenFile(path_).read(offset, count);
  const auto view = memory_.view();
  return copy_of(offset < view.size() ? view.subspan(offset, std::min<std::uint64_t>(count, view.size() - offset))
                                      : view.first(0));
}

void SourceFile::for_each_piece(std::size_t count, const TakePiece& take) const {
  if (path_.empty()) {
    for (std::uint64_t offset = 0; offset < size_; offset += count) {
      take(offset, memory_.view().subspan(offset, std::min<std::uint64_t>(count, size_ - offset)));
    }
    return;
  }
  const OpenFile file(path_);
  const Bytes buffer(count);
  for (std::uint64_t offset = 0;; offset += count) {
    const std::size_t got = file.read_into(offset, {buffer.data.get(), count});
    if (got > 0) take(offset, buffer.view().first(got));
    if (got < count) return;
  }
}

const SourceFile* Source::find(std::string_view name) const {
  const auto found = std::find_if(files.begin(), files.end(), [&](const SourceFile& f) { return f.name() == name; });
  return found == files.end() ? nullptr : &*found;
}

Source open_source(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code problem;
  const fs::file_status status = fs::status(path, problem);
  if (!fs::exists(status)) fail_usage("{}: no such file or folder", path);
  Source source;
  source.path = path;
  if (!fs::is_directory(status)) return of_single_file(std::move(source), SourceFile(path, path));
  for (fs::directory_iterator entry(path, problem), end; !problem && entry != end; entry.increment(problem)) {
    std::error_code ignored;
    const std::string inside = entry->path().string();
    if (entry->is_directory(ignored) && !last_part(inside).starts_with(".")) source.folders.push_back(inside);
    if (entry->is_regular_file(ignored)) source.files.emplace_back(inside, inside);
  }
  if (problem) fail("{}: cannot be read: {}", path, problem.message());
  sort_by_name(source.files);
  std::sort(source.folders.begin(), source.folders.end());
  return source;
}

Source source_of(const std::string& name, Bytes contents) {
  Source source;
  source.path = name;
  return of_single_file(std::move(source), SourceFile(name, std::move(contents)));
}

Source source_of(const std::string& name, std::vector<std::pair<std::string, Bytes>> files) {
  Source source;
  source.path = name;
  for (auto& file : files) source.files.emplace_back(name + "/" + file.first, std::move(file.second));
  sort_by_name(source.files);
  return source;
}

Bytes copy_of(std::span<const std::uint8_t> bytes) {
  Bytes result(bytes.size());
  if (!bytes.empty()) std::memcpy(result.data.get(), bytes.data(), bytes.size());
  return result;
}

}  // namespace convoy
