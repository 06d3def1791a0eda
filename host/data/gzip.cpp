// A gzip file decompressed block by block; length and CRC-32 compared with its trailer (RFC 1952).
#include "data/gzip.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "convoy/error.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

constexpr std::uint32_t kPolynomial = 0xEDB88320;  // CRC-32, reflected
constexpr std::size_t kTrailerBytes = 8;
using CrcTables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr CrcTables make_crc_tables() {
  CrcTables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    for (std::size_t k = 1; k < 8; ++k) {
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xFF];
    }
  }
  return tables;
}

constexpr CrcTables kCrcTables = make_crc_tables();

std::uint32_t little_endian_32(const std::uint8_t* p) {
  return p[0] | (std::uint32_t{p[1]} << 8) | (std::uint32_t{p[2]} << 16) | (std::uint32_t{p[3]} << 24);
}

// Eight bytes at a time ("slicing by 8", Kounavis and Berry 2005): one table look-up a byte would be as slow as
// the decompression itself.
std::uint32_t crc32(std::uint32_t crc, std::span<const std::uint8_t> bytes) {
  crc = ~crc;
  const std::uint8_t* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    const std::uint32_t low = little_endian_32(p) ^ crc;
    const std::uint32_t high = little_endian_32(p + 4);
    crc = kCrcTables[7][low & 0xFF] ^ kCrcTables[6][(low >> 8) & 0xFF] ^ kCrcTables[5][(low >> 16) & 0xFF] ^
          kCrcTables[4][low >> 24] ^ kCrcTables[3][high & 0xFF] ^ kCrcTables[2][(high >> 8) & 0xFF] ^
          kCrcTables[1][(high >> 16) & 0xFF] ^ kCrcTables[0][high >> 24];
  }
  for (; left > 0; --left, ++p) crc = (crc >> 8) ^ kCrcTables[0][(crc ^ *p) & 0xFF];
  return ~crc;
}

std::string reason(archive* handle) {
  const char* text = archive_error_string(handle);
  return text != nullptr ? printable(text) : std::string("unreadable");
}

}  // namespace

std::string archives_missing() { return ""; }

GzipStream::GzipStream(std::span<const std::uint8_t> compressed, std::string name, std::uint64_t limit)
    : compressed_(compressed), name_(std::move(name)), limit_(limit), archive_(archive_read_new(), archive_read_free) {
  CONVOY_CHECK(archive_ != nullptr, "{}: out of memory", name_);
  archive* handle = archive_.get();
  archive_entry* entry = nullptr;
  if (archive_read_support_filter_gzip(handle) != ARCHIVE_OK || archive_read_support_format_raw(handle) != ARCHIVE_OK ||
      archive_read_open_memory(handle, compressed_.data(), compressed_.size()) != ARCHIVE_OK ||
      archive_read_next_header(handle, &entry) != ARCHIVE_OK || archive_filter_code(handle, 0) != ARCHIVE_FILTER_GZIP) {
    fail("{}: gzip data expected, found {}; {}", name_, reason(handle), kDownloadAgain);
  }
}

std::span<const std::uint8_t> GzipStream::next_block() {
  const void* block = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  const int status = archive_read_data_block(archive_.get(), &block, &size, &offset);
  if (status == ARCHIVE_EOF) {
    check_trailer();
    return {};
  }
  if (status != ARCHIVE_OK) {
    fail("{}: damaged gzip data after {} decompressed bytes ({}); {}", name_, grouped(produced_),
         reason(archive_.get()), kDownloadAgain);
  }
  const std::span<const std::uint8_t> bytes(static_cast<const std::uint8_t*>(block), size);
  produced_ += size;
  CONVOY_CHECK(produced_ <= limit_, "{}: at most {} decompressed bytes expected, found more", name_, grouped(limit_));
  crc_ = crc32(crc_, bytes);
  return bytes;
}

bool GzipStream::trailer_matches(std::size_t end) const {
  const std::uint8_t* trailer = compressed_.data() + end - kTrailerBytes;
  return little_endian_32(trailer) == crc_ && little_endian_32(trailer + 4) == static_cast<std::uint32_t>(produced_);
}

void GzipStream::check_trailer() const {
  CONVOY_CHECK(compressed_.size() > kTrailerBytes, "{}: {} bytes are no gzip file", name_, compressed_.size());
  // Some writers fill up the last block with zeros.
  for (std::size_t end = compressed_.size(); end >= kTrailerBytes; --end) {
    if (trailer_matches(end)) return;
    if (compressed_[end - 1] != 0) break;
  }
  const std::uint8_t* trailer = compressed_.data() + compressed_.size() - kTrailerBytes;
  const std::uint32_t crc = little_endian_32(trailer), length = little_endian_32(trailer + 4);
  CONVOY_CHECK(length == static_cast<std::uint32_t>(produced_),
               "{}: {} decompressed bytes expected by its gzip trailer, {} found; {}", name_, grouped(length),
               grouped(produced_), kDownloadAgain);
  fail("{}: CRC {:08x} expected by its gzip trailer, {:08x} found; {}", name_, crc, crc_, kDownloadAgain);
}

Bytes gunzip(std::span<const std::uint8_t> compressed, const std::string& name) {
  GzipStream stream(compressed, name, kMaxFileBytes);
  std::vector<std::uint8_t> collected;
  // The trailer's word is a good guess where it is plausible: deflate cannot expand by more than 1032.
  if (compressed.size() > kTrailerBytes) {
    const std::uint64_t promised = little_endian_32(compressed.data() + compressed.size() - 4);
    if (promised <= std::min<std::uint64_t>(kMaxFileBytes, compressed.size() * 1032)) collected.reserve(promised);
  }
  for (auto block = stream.next_block(); !block.empty(); block = stream.next_block()) {
    collected.insert(collected.end(), block.begin(), block.end());
  }
  auto owner = std::make_shared<std::vector<std::uint8_t>>(std::move(collected));
  Bytes result;
  result.size = owner->size();
  result.data = std::shared_ptr<std::uint8_t[]>(owner, owner->data());
  return result;
}

Bytes gunzip_head(std::span<const std::uint8_t> compressed, std::size_t count) {
  Bytes head(count);
  std::size_t filled = 0;
  try {
    GzipStream stream(compressed, "head", kMaxFileBytes);
    while (filled < count) {
      const auto block = stream.next_block();
      if (block.empty()) break;
      const std::size_t taken = std::min(count - filled, block.size());
      std::memcpy(head.data.get() + filled, block.data(), taken);
      filled += taken;
    }
  } catch (const Error&) {
    // A damaged file is reported when it is read whole; here only its beginning is looked at.
  }
  head.size = filled;
  return head;
}

}  // namespace convoy
