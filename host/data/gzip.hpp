// A gzip file decompressed block by block (by libarchive, which does not check gzip's CRC: done here).
// The compressed bytes belong to the caller and outlive the stream.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "data/bytes.hpp"

struct archive;

namespace convoy {

// What a data set may grow to in memory: more than any published set of small images, less than a node's memory.
inline constexpr std::uint64_t kMaxFileBytes = std::uint64_t{256} << 20;
inline constexpr std::uint64_t kMaxTotalBytes = std::uint64_t{1} << 30;

inline bool is_gzip(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 3 && bytes[0] == 0x1F && bytes[1] == 0x8B && bytes[2] == 8;
}

// Why this build can read neither gzip files nor archives, in a few words; empty where it can.
std::string archives_missing();

class GzipStream {
 public:
  // `name` is the file in messages. More than `limit` decompressed bytes is an error.
  GzipStream(std::span<const std::uint8_t> compressed, std::string name, std::uint64_t limit);
  // The next decompressed block, valid until the next call; empty at the end, after length and CRC were compared
  // with the file's trailer. Throws Error for whatever is damaged.
  std::span<const std::uint8_t> next_block();

 private:
  void check_trailer() const;
  bool trailer_matches(std::size_t end) const;

  std::span<const std::uint8_t> compressed_;
  std::string name_;
  std::uint64_t limit_;
  std::unique_ptr<archive, int (*)(archive*)> archive_;
  std::uint64_t produced_ = 0;
  std::uint32_t crc_ = 0;
};

Bytes gunzip(std::span<const std::uint8_t> compressed, const std::string& name);
// At most `count` first bytes, fewer where the file ends or is damaged; never throws for damage.
Bytes gunzip_head(std::span<const std::uint8_t> compressed, std::size_t count);

}  // namespace convoy
