// Names a part of a program, or of the step around it, to whoever looks: profilers by ranges, users by what errors say.
#pragma once

#include <string_view>

#include "convoy/backend.hpp"
#include "convoy/error.hpp"

namespace convoy {

// What the call throws says for which operation it was made.
template <typename Call>
void naming(std::string_view operation, const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    throw Error(fmt::format("operation '{}': {}", operation, error.what()), error.code());
  }
}

// The same, in a range of that name.
template <typename Call>
void as_operation(Backend& backend, std::string_view name, const Call& call) {
  const Range range(backend, name);
  naming(name, call);
}

}  // namespace convoy
