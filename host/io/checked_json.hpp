// JSON files that carry a checksum of their own, so that a damaged one is told from one that is whole.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace convoy {

struct CheckedJson {
  std::string_view format;  // its first entry, with the number of its version
  std::string_view what;    // for messages: "a checkpoint"
  std::size_t most_bytes;
};

// The object as such a file's text. "format" and "checksum" are none of its own entries.
std::string to_checked_text(const CheckedJson& kind, const nlohmann::ordered_json& object);

// The object of such a file. Throws Error in one line where it cannot be read, is damaged or of another format.
nlohmann::ordered_json read_checked_json(const CheckedJson& kind, const std::filesystem::path& path);

}  // namespace convoy
