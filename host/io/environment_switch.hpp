// Switches for those who look for a fault or measure: CONVOY_SOMETHING=0.
#pragma once

namespace convoy {

// Whether the environment variable is unset, empty or 1. Throws UsageError for a word other than 0 and 1.
bool is_on_in_environment(const char* variable);

}  // namespace convoy
