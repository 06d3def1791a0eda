#include "train/checkpoint/checkpoint_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "convoy/error.hpp"
#include "io/atomic_file.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-", kTemporarySuffix = ".tmp";
constexpr const char* kBest = "best";

std::string name_of(std::int64_t step) { return fmt::format("{}{:09}", kPrefix, step); }

std::optional<std::int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  std::int64_t step = 0;
  const bool is_number = std::from_chars(name.data(), name.data() + name.size(), step).ptr == name.data() + name.size();
  return is_number && !name.empty() ? std::optional(step) : std::nullopt;
}

void put_in_place(const fs::path& from, const fs::path& to) {
  CONVOY_CHECK(std::rename(from.c_str(), to.c_str()) == 0, "{}: cannot be put in place: {}", to.string(),
               std::strerror(errno));
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  return names;
}

}  // namespace

fs::path CheckpointFolder::checkpoint(std::int64_t step) const { return path_ / name_of(step); }

fs::path CheckpointFolder::temporary(std::int64_t step) const {
  return path_ / fmt::format(".{}{}", name_of(step), kTemporarySuffix);
}

std::vector<std::int64_t> CheckpointFolder::steps() const {
  std::vector<std::int64_t> steps;
  for (const std::string& name : names_in(path_)) {
    if (const std::optional<std::int64_t> step = step_of(name)) steps.push_back(*step);
  }
  std::ranges::sort(steps, std::greater<>());
  return steps;
}

void CheckpointFolder::publish(const Manifest& manifest, bool is_best, int keep) const {
  const fs::path from = temporary(manifest.step), to = checkpoint(manifest.step);
  write_file_atomically(from / kManifestName, to_json(manifest));  // syncs the folder too
  read_manifest(from);    // the files are there, on a folder that all hosts share, too
  remove(manifest.step);  // one of the same step, where a run was resumed at the end of an epoch
  put_in_place(from, to);
  sync_folder(path_);
  if (is_best) link_best(manifest.step);
  prune(keep);
}

void CheckpointFolder::link_best(std::int64_t step) const {
  const fs::path link = path_ / fmt::format(".{}{}", kBest, kTemporarySuffix);
  std::error_code ignored;
  fs::remove(link, ignored);
  fs::create_directory_symlink(name_of(step), link);
  put_in_place(link, path_ / kBest);
}

void CheckpointFolder::prune(int keep) const {
  std::error_code ignored;
  const std::string best = fs::read_symlink(path_ / kBest, ignored).string();
  const std::vector<std::int64_t> all = steps();
  for (std::size_t i = static_cast<std::size_t>(keep); i < all.size(); ++i) {
    if (name_of(all[i]) != best) remove(all[i]);
  }
}

// Under another name first, so that one half removed is no checkpoint.
void CheckpointFolder::remove(std::int64_t step) const noexcept {
  const fs::path away = path_ / fmt::format(".{}.old{}", name_of(step), kTemporarySuffix);
  if (std::rename(checkpoint(step).c_str(), away.c_str()) != 0) return;
  std::error_code ignored;
  fs::remove_all(away, ignored);
}

void CheckpointFolder::discard(std::int64_t step) const noexcept {
  std::error_code ignored;
  fs::remove_all(temporary(step), ignored);
}

void CheckpointFolder::forget_after(std::int64_t step) const {
  std::error_code ignored;
  for (const std::string& name : names_in(path_)) {
    if (name.starts_with('.') && name.ends_with(kTemporarySuffix)) fs::remove_all(path_ / name, ignored);
  }
  for (const std::int64_t later : steps()) {
    if (later > step) remove(later);
  }
  const fs::path best = path_ / kBest;
  if (fs::is_symlink(best, ignored) && !fs::exists(best, ignored)) fs::remove(best, ignored);
}

}  // namespace convoy
