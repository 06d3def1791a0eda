#include "train/recipe_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "convoy/error.hpp"
#include "io/atomic_file.hpp"
#include "io/did_you_mean.hpp"
#include "io/embedded.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLargestRecipe = 1 << 20;  // bytes; ours have one thousand

bool is_path(std::string_view text, std::string_view extension) {
  return text.find('/') != std::string_view::npos || text.ends_with(extension);
}

// Absolute where it exists, in `folder` first.
std::string found(const fs::path& folder, const std::string& path) {
  std::error_code ignored;
  for (const fs::path& place : {folder / path, fs::path(path)}) {
    if (!path.empty() && fs::exists(place, ignored)) return fs::absolute(place).lexically_normal().string();
  }
  return path;
}

std::string_view shipped_recipe(const std::string& name, const std::string& where) {
  std::vector<std::string_view> names;
  for (const EmbeddedFile& file : embedded_recipes()) {
    if (file.name == name) return file.text;
    names.push_back(file.name);
  }
  fail_usage("{}recipe '{}' is neither shipped ({}) nor a .toml file{}", where, name, fmt::join(names, ", "),
             did_you_mean(name, names));
}

// `built_on_it`: the recipes from the one asked for down to the one that names this as its base.
RunConfig read(const std::string& recipe, const std::string& where, std::vector<std::string> built_on_it) {
  const bool is_file = is_path(recipe, ".toml");
  built_on_it.push_back(is_file ? found({}, recipe) : recipe);
  if (std::count(built_on_it.begin(), built_on_it.end(), built_on_it.back()) > 1) {
    fail_usage("{}{} is itself built on this recipe", where, recipe);
  }
  const fs::path folder = is_file ? fs::absolute(recipe).parent_path() : fs::path();
  const auto read_base = [&](const std::string& base, const std::string& place) {
    return read(is_path(base, ".toml") ? found(folder, base) : base, place, built_on_it);
  };
  if (!is_file) return parse_recipe(shipped_recipe(recipe, where), fmt::format("recipe {}", recipe), read_base);
  std::error_code ignored;
  if (!fs::exists(recipe, ignored)) fail_usage("{}recipe {}: no such file", where, recipe);
  const std::vector<std::byte> bytes = read_file(recipe, kLargestRecipe);
  RunConfig config = parse_recipe({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, recipe, read_base);
  make_paths_absolute(config, folder);
  return config;
}

}  // namespace

RunConfig read_recipe(const std::string& recipe) { return read(recipe, "", {}); }

void make_paths_absolute(RunConfig& config, const fs::path& folder) {
  const bool is_synthetic = config.data == "synthetic" || config.data.starts_with("synthetic:");
  if (!is_synthetic) config.data = found(folder, config.data);
  config.init = found(folder, config.init);
  if (is_path(config.model, ".json")) config.model = found(folder, config.model);
}

}  // namespace convoy
