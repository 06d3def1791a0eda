// One file a plan, so that ranks that tune at the same time never write into the same one unfinished.
#include "cudnn/plan_cache.hpp"

#include <fmt/format.h>

#include <cstdlib>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"
#include "io/atomic_file.hpp"

namespace convoy::cuda::cudnn {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLargestFile = std::size_t{1} << 20;  // a plan's text has a few thousand bytes

}  // namespace

fs::path plan_folder() {
  const char* ours = std::getenv("CONVOY_CACHE");
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (ours != nullptr && *ours != '\0') return fs::path(ours) / "plans";
  if (cache != nullptr && *cache != '\0') return fs::path(cache) / "convoy" / "plans";
  if (home != nullptr && *home != '\0') return fs::path(home) / ".cache" / "convoy" / "plans";
  return {};
}

fs::path PlanCache::file_of(const std::string& key) const {
  return folder_ / fmt::format("{:016x}.plan", checksum(key.data(), key.size()));
}

// The file's first line is the key, so that two keys of one checksum cannot be mistaken.
std::optional<std::string> PlanCache::find(const std::string& key) const {
  std::error_code ignored;
  if (folder_.empty() || !fs::exists(file_of(key), ignored)) return std::nullopt;
  try {
    const auto bytes = read_file(file_of(key), kLargestFile);
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (!text.starts_with(key + "\n")) return std::nullopt;
    return text.substr(key.size() + 1);
  } catch (const Error&) {
    return std::nullopt;
  }
}

void PlanCache::keep(const std::string& key, const std::string& text) const {
  if (folder_.empty()) return;
  try {
    std::error_code ignored;
    fs::create_directories(folder_, ignored);
    write_file_atomically(file_of(key), key + "\n" + text);
  } catch (const Error&) {
    return;
  }
}

}  // namespace convoy::cuda::cudnn
