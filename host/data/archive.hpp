// The regular files of a tar archive, plain or gzip-compressed, unpacked into memory and never onto the disk.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "data/bytes.hpp"
#include "data/gzip.hpp"

namespace convoy {

inline constexpr std::size_t kTarBlockBytes = 512;  // tar's unit

struct ArchiveMember {
  std::string name;  // as in the archive: "cifar-10-batches-bin/data_batch_1.bin"
  Bytes contents;
};

struct ArchiveLimits {
  std::uint64_t file_bytes = kMaxFileBytes;
  std::uint64_t total_bytes = kMaxTotalBytes;  // of members, and of the decompressed archive
  std::size_t members = 200'000;               // more than any set of pictures that fits the size limit
};

// Whether these are the first bytes (at least 512) of a tar archive.
inline bool is_tar(std::span<const std::uint8_t> head) {
  return head.size() >= kTarBlockBytes && std::memcmp(head.data() + 257, "ustar", 5) == 0;
}

// `name` is the archive in messages. Throws Error where a member's name leaves the archive's folder (absolute, ..),
// where one is neither a file nor a folder, where sizes and contents disagree, and above the limits.
std::vector<ArchiveMember> read_archive(std::span<const std::uint8_t> bytes, const std::string& name,
                                        const ArchiveLimits& limits = {});

}  // namespace convoy
