// The text files that the executable carries: the zoo's networks (host/nn/zoo) and the recipes (tools/recipes).
// The build writes the definitions from those folders (tools/cmake/embed.cmake).
#pragma once

#include <span>
#include <string_view>

namespace convoy {

struct EmbeddedFile {
  std::string_view name;  // the file's name without its extension: "airbench94"
  std::string_view text;
};

// Both in the order of their names.
std::span<const EmbeddedFile> embedded_networks();
std::span<const EmbeddedFile> embedded_recipes();

}  // namespace convoy
