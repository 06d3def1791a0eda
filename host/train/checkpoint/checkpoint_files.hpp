// The names of a checkpoint's files beside state.json.
#pragma once

#include <fmt/format.h>

#include <string>

namespace convoy {

inline constexpr const char* kSharedFileName = "shared.safetensors";    // state that all ranks hold alike
inline constexpr const char* kWeightsFileName = "weights.safetensors";  // the mean over the ranks, for `convoy eval`
inline std::string rank_file_name(int rank) { return fmt::format("rank-{}.safetensors", rank); }

}  // namespace convoy
