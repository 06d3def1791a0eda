// Where data are looked for when the command line does not say.
#include "data/locate.hpp"

#include <cstdlib>
#include <filesystem>

#include "data/load.hpp"

namespace convoy {

std::optional<std::string> find_data() {
  constexpr const char* kFolder = "data";
  const char* chosen = std::getenv("CONVOY_DATA");
  if (chosen != nullptr && *chosen != '\0') return chosen;
  std::error_code ignored;
  if (std::filesystem::is_directory(kFolder, ignored) && holds_dataset(kFolder)) return kFolder;
  return std::nullopt;
}

}  // namespace convoy
