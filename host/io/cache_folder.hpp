// Where things are kept that can be made again, so that the next run starts sooner. May be removed at any time.
#pragma once

#include <filesystem>
#include <optional>

namespace convoy {

// $CONVOY_CACHE where it is set, else the folder `cache` beside the executable (in the build folder, that is);
// nothing where neither can be written to. `what` is made inside.
std::optional<std::filesystem::path> cache_folder(const char* what);

}  // namespace convoy
