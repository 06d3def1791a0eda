// See places.hpp.
#include "support/places.hpp"

#include <optional>

namespace convoy::test {
namespace {

namespace fs = std::filesystem;

// Where this program is tests/gpu_tests of one: tools/cmake/package.cmake.
const std::optional<fs::path>& packed_folder() {
  static const std::optional<fs::path> found = [] {
    const fs::path folder = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
    const bool is_packed = fs::exists(folder / "convoy") && fs::exists(folder / "tools" / "gpu_acceptance");
    return is_packed ? std::optional(folder) : std::nullopt;
  }();
  return found;
}

}  // namespace

fs::path executable() { return packed_folder() ? *packed_folder() / "convoy" : fs::path(CONVOY_TEST_EXECUTABLE); }

fs::path source_folder() { return packed_folder().value_or(CONVOY_TEST_SOURCE_DIR); }

fs::path preload(const std::string& name) {
  const fs::path folder = packed_folder() ? *packed_folder() / "tests" / "preload" : fs::path(CONVOY_TEST_PRELOADS);
  return folder / (name + ".so");
}

}  // namespace convoy::test
