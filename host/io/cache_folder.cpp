// Where things are kept that can be made again.
#include "io/cache_folder.hpp"

#include <unistd.h>

#include <cstdlib>
#include <system_error>

namespace convoy {

std::optional<std::filesystem::path> cache_folder(const char* what) {
  namespace fs = std::filesystem;
  std::error_code problem;
  const char* chosen = std::getenv("CONVOY_CACHE");
  fs::path root;
  if (chosen != nullptr && *chosen != '\0') {
    root = fs::absolute(chosen, problem);
  } else {
    root = fs::read_symlink("/proc/self/exe", problem).parent_path() / "cache";
  }
  if (problem) return std::nullopt;
  const fs::path folder = root / what;
  fs::create_directories(folder, problem);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) return std::nullopt;
  return folder;
}

}  // namespace convoy
