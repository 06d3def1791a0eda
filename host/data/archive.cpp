// A tar archive read through libarchive; decompression is ours (gzip.hpp), which checks the CRC and the size.
#include "data/archive.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <utility>

#include "convoy/error.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

// libarchive pulls the tar's bytes from here; exceptions may not pass through its C frames and are kept.
struct Feed {
  std::span<const std::uint8_t> plain;  // the whole archive where it is not compressed
  GzipStream* gzip = nullptr;
  std::exception_ptr failure;
};

la_ssize_t feed_next(archive* handle, void* context, const void** block) {
  Feed& feed = *static_cast<Feed*>(context);
  std::span<const std::uint8_t> bytes;
  if (feed.gzip == nullptr) {
    bytes = std::exchange(feed.plain, {});
  } else {
    try {
      bytes = feed.gzip->next_block();
    } catch (...) {
      feed.failure = std::current_exception();
      archive_set_error(handle, -1, "damaged");
      return ARCHIVE_FATAL;
    }
  }
  *block = bytes.data();
  return static_cast<la_ssize_t>(bytes.size());
}

class TarReader {
 public:
  TarReader(Feed& feed, std::string name)
      : feed_(feed), name_(std::move(name)), archive_(archive_read_new(), archive_read_free) {
    CONVOY_CHECK(archive_ != nullptr, "{}: out of memory", name_);
    archive_read_support_format_tar(archive_.get());
    require(archive_read_open(archive_.get(), &feed_, nullptr, feed_next, nullptr));
  }

  bool next() {
    const int status = archive_read_next_header(archive_.get(), &entry_);
    if (status == ARCHIVE_EOF) return false;
    require(status);
    return true;
  }

  archive_entry* entry() const { return entry_; }

  std::string member_name() const {
    const char* text = archive_entry_pathname(entry_);
    CONVOY_CHECK(text != nullptr && *text != '\0', "{}: a member without a readable name", name_);
    return text;
  }

  Bytes contents(const std::string& member, std::uint64_t limit) {
    const auto size = static_cast<std::uint64_t>(archive_entry_size(entry_));
    CONVOY_CHECK(archive_entry_size_is_set(entry_) != 0 && size <= limit,
                 "{}: {}: at most {} bytes expected, its header says {}", name_, printable(member), grouped(limit),
                 grouped(size));
    Bytes result(size);
    std::uint64_t filled = 0;
    const void* block = nullptr;
    std::size_t count = 0;
    la_int64_t place = 0;
    int status = ARCHIVE_OK;
    while ((status = archive_read_data_block(archive_.get(), &block, &count, &place)) == ARCHIVE_OK) {
      const auto begin = static_cast<std::uint64_t>(place);
      if (begin < filled || begin > size || count > size - begin) break;
      std::memset(result.data.get() + filled, 0, begin - filled);  // a hole, where the archive is sparse
      if (count > 0) std::memcpy(result.data.get() + begin, block, count);
      filled = begin + count;
    }
    if (feed_.failure) std::rethrow_exception(feed_.failure);
    CONVOY_CHECK(status == ARCHIVE_EOF && filled == size, "{}: {}: {} bytes expected by its header, {} found; {}",
                 name_, printable(member), grouped(size), grouped(filled), kDownloadAgain);
    return result;
  }

 private:
  void require(int status) {
    if (feed_.failure) std::rethrow_exception(feed_.failure);
    if (status == ARCHIVE_OK) return;
    const char* text = archive_error_string(archive_.get());
    fail("{}: a tar archive expected, found damage after {} bytes ({}); {}", name_,
         grouped(static_cast<std::uint64_t>(archive_filter_bytes(archive_.get(), 0))),
         text != nullptr ? printable(text) : "unreadable", kDownloadAgain);
  }

  Feed& feed_;
  std::string name_;
  std::unique_ptr<archive, int (*)(archive*)> archive_;
  archive_entry* entry_ = nullptr;
};

// Nothing is ever written, but a name that would leave the folder is nobody's data set.
void check_name(const std::string& archive_name, const std::string& member) {
  bool leaves = member.front() == '/' || member.find('\\') != std::string::npos;
  for (std::size_t begin = 0; begin <= member.size();) {
    const std::size_t end = std::min(member.find('/', begin), member.size());
    leaves = leaves || std::string_view(member).substr(begin, end - begin) == "..";
    begin = end + 1;
  }
  CONVOY_CHECK(!leaves, "{}: member names inside the archive's folder expected, found {}: refused", archive_name,
               printable(member));
}

void check_kind(const std::string& archive_name, const std::string& member, archive_entry* entry) {
  const char* found = nullptr;
  if (archive_entry_hardlink(entry) != nullptr) {
    found = "a hard link";
  } else if (archive_entry_filetype(entry) == AE_IFLNK) {
    found = "a symbolic link";
  } else if (archive_entry_filetype(entry) != AE_IFREG && archive_entry_filetype(entry) != AE_IFDIR) {
    found = "a device, socket or pipe";
  }
  CONVOY_CHECK(found == nullptr, "{}: {}: a file or folder expected, found {}: refused", archive_name,
               printable(member), found);
}

}  // namespace

std::vector<ArchiveMember> read_archive(std::span<const std::uint8_t> bytes, const std::string& name,
                                        const ArchiveLimits& limits) {
  Feed feed;
  std::unique_ptr<GzipStream> gzip;
  if (is_gzip(bytes)) {
    gzip = std::make_unique<GzipStream>(bytes, name, limits.total_bytes);
    feed.gzip = gzip.get();
  } else {
    feed.plain = bytes;
  }
  TarReader tar(feed, name);
  std::vector<ArchiveMember> members;
  std::uint64_t total = 0;
  while (tar.next()) {
    const std::string member = tar.member_name();
    check_name(name, member);
    check_kind(name, member, tar.entry());
    if (archive_entry_filetype(tar.entry()) == AE_IFDIR) continue;
    CONVOY_CHECK(members.size() < limits.members, "{}: at most {} members expected, found more", name,
                 grouped(limits.members));
    // Sparse members cost no bytes of the archive, so the stream's own limit does not see them.
    members.push_back({member, tar.contents(member, limits.file_bytes)});
    total += members.back().contents.size;
    CONVOY_CHECK(total <= limits.total_bytes, "{}: at most {} bytes of members expected, found more", name,
                 grouped(limits.total_bytes));
  }
  // tar ends before its file does; the rest is padding, but the trailer behind it holds the CRC.
  if (gzip != nullptr) {
    while (!gzip->next_block().empty()) {
    }
  }
  return members;
}

}  // namespace convoy
