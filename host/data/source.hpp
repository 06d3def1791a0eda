// What lies at a path, as the readers see it: named files, whether they come from a folder, a single file, an
// archive or memory. Gzip-compressed single files (IDX) look like what they hold.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/archive.hpp"
#include "data/bytes.hpp"

namespace convoy {

class SourceFile {
 public:
  SourceFile(std::string shown, std::string path);     // on disk
  SourceFile(std::string shown, Bytes contents);       // in memory
  const std::string& shown() const { return shown_; }  // in messages: "data/batches.tar.gz: test_batch.bin"
  const std::string& name() const { return name_; }    // without folders, and without .gz where it was compressed
  const Bytes& head() const { return head_; }          // the first kHeadBytes, decompressed
  std::uint64_t stored_size() const { return size_; }  // compressed where it is
  bool is_compressed() const { return is_compressed_; }
  Bytes contents() const;                      // decompressed; read anew at each call where it is on disk
  std::vector<ArchiveMember> members() const;  // where it is an archive
  // Up to `count` bytes at `offset`, fewer at the end. Not for compressed files.
  Bytes piece(std::uint64_t offset, std::size_t count) const;
  // All bytes in order, `count` at a time (the last time what is left). Not for compressed files.
  using TakePiece = std::function<void(std::uint64_t offset, std::span<const std::uint8_t>)>;
  void for_each_piece(std::size_t count, const TakePiece& take) const;

  static constexpr std::size_t kHeadBytes = 4096;

 private:
  Bytes stored() const;
  void look_at_head();

  std::string shown_, path_, name_;
  Bytes memory_, head_;
  std::uint64_t size_ = 0;
  bool is_compressed_ = false;
};

enum class SourceKind : std::uint8_t { folder, file, archive };

struct Source {
  std::string path;  // as given
  SourceKind kind = SourceKind::folder;
  std::vector<SourceFile> files;     // sorted by name
  std::vector<std::string> folders;  // the paths of those in it, sorted, hidden ones left out; on disk only

  const SourceFile* find(std::string_view name) const;  // null where there is none
};

// The files of a folder (not of folders in it), or of an archive, or the file itself. UsageError where the path is
// not there, Error where it cannot be read.
Source open_source(const std::string& path);

// The same for bytes in memory: one file or archive, or several files.
Source source_of(const std::string& name, Bytes contents);
Source source_of(const std::string& name, std::vector<std::pair<std::string, Bytes>> files);

// A copy of bytes, e.g. of a test's or a fuzzer's.
Bytes copy_of(std::span<const std::uint8_t> bytes);

}  // namespace convoy
