#include "io/environment_switch.hpp"

#include <cstdlib>
#include <string_view>

#include "convoy/error.hpp"

namespace convoy {

bool is_on_in_environment(const char* variable) {
  const char* set = std::getenv(variable);
  const std::string_view word = set == nullptr ? "" : set;
  if (!word.empty() && word != "0" && word != "1") fail_usage("{} is '{}'; expected 0 or 1", variable, word);
  return word != "0";
}

}  // namespace convoy
