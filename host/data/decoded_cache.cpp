// Data sets that take long to decode, kept decoded.
#include "data/decoded_cache.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"
#include "data/checksum.hpp"
#include "data/dataset_file.hpp"
#include "io/atomic_file.hpp"
#include "io/cache_folder.hpp"

namespace convoy {
namespace {

std::string hash_of(const std::string& text) { return fmt::format("{:016x}", checksum(text.data(), text.size())); }

std::optional<Dataset> kept(const std::filesystem::path& file, const std::string& content) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return std::nullopt;
  try {
    MappedDataset mapped = map_dataset(file);
    const bool is_current = mapped.key == content && mapped.data.checksum == checksum(mapped.data);
    return is_current ? std::optional(std::move(mapped.data)) : std::nullopt;
  } catch (const Error&) {
    return std::nullopt;  // damaged: made anew
  }
}

}  // namespace

Dataset cached(const CacheKey& key, const std::function<Dataset()>& decode) {
  const std::optional<std::filesystem::path> folder = cache_folder("data");
  if (!folder) {
    Dataset data = decode();
    data.notes.emplace_back("set CONVOY_CACHE to a folder to keep the decoded pictures for the next run");
    return data;
  }
  const std::filesystem::path file = *folder / (hash_of(key.place) + ".data");
  const std::string content = hash_of(key.content);
  if (std::optional<Dataset> data = kept(file, content)) {
    data->notes.push_back(fmt::format("decoded before: taken from {}", file.string()));
    return std::move(*data);
  }
  Dataset data = decode();
  data.checksum = checksum(data);
  try {
    write_file_atomically(file, DatasetFile(data, content).pieces());
    data.notes.push_back(fmt::format("kept decoded in {}", file.string()));
  } catch (const Error& error) {
    data.notes.push_back(fmt::format("the decoded pictures are not kept for the next run: {}", error.what()));
  }
  return data;
}

}  // namespace convoy
