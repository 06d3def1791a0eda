// Where tests find what they do not hold themselves: where it lay when they were built, or in the folder that
// tools/gpu_acceptance --pack made, wherever that is now.
#pragma once

#include <filesystem>
#include <string>

namespace convoy::test {

std::filesystem::path executable();     // empty: built without
std::filesystem::path source_folder();  // a packed folder has parts of it, in the same places
std::filesystem::path preload(const std::string& name);

}  // namespace convoy::test
