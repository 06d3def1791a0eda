// What this executable was built from, for --version and summary.json.
// Refreshed in every build (tools/cmake/build_info.cmake).
#pragma once

#include <string_view>

namespace convoy {

struct BuildInfo {
  std::string_view version;     // "0.1.0"
  std::string_view commit;      // 12 hexadecimal digits; empty where the sources came without git
  bool is_dirty;                // something that becomes part of the executable differed from the commit
  std::string_view compiler;    // "GNU 12.2.0"
  std::string_view build_type;  // "Release"
};

const BuildInfo& build_info();

}  // namespace convoy
