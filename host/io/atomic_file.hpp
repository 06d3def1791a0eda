// Files that are either whole or not there: temporary name in the same folder, fsync, rename, fsync of the folder.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace convoy {

// Writes the pieces one after another. Throws Error naming the file and the system's reason; then no trace is left.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::span<const std::byte>> pieces);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// Makes the names in a folder last, where its file system can: the files themselves are safe all the same.
void sync_folder(const std::filesystem::path& folder) noexcept;

// The whole file. Throws Error where it cannot be read or is larger than `limit` bytes.
std::vector<std::byte> read_file(const std::filesystem::path& path, std::size_t limit);

}  // namespace convoy
