// Small files that tests read and write.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace convoy::test {

// Empty where there is none.
inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A program in a language of `interpreter`.
inline void write_script(const std::filesystem::path& path, const std::string& text,
                         const std::string& interpreter = "/bin/sh") {
  std::ofstream(path) << "#!" << interpreter << "\n" << text << "\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
}

}  // namespace convoy::test
