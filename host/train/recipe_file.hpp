// Where recipes are: shipped ones by name, others in TOML files; and what else a file's place says.
#pragma once

#include <filesystem>
#include <string>

#include "train/run_config.hpp"

namespace convoy {

// The shipped recipe of that name or the file's, over the recipe that it names as its base, if any. A base that is a
// file is looked for beside the recipe. Throws UsageError: no such recipe, a base that is built on the recipe itself,
// and what parse_recipe throws.
RunConfig read_recipe(const std::string& recipe);

// Data, network and first weights with a relative path are looked for in `folder` first, unless it is empty. Absolute,
// so that recipe.toml works anywhere.
void make_paths_absolute(RunConfig& config, const std::filesystem::path& folder);

}  // namespace convoy
