// One error type for the whole program: what happened, where, and what to do, in one line.
// Only main() catches it.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace convoy {

// The process's exit codes, as the README documents them.
enum class ExitCode : int { done = 0, failed = 1, usage = 2, resumable = 75 };

// A failure that a user reads: one line without the program's name.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ExitCode code = ExitCode::failed)
      : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

// A wrong option, recipe or network file: exit code 2.
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(message, ExitCode::usage) {}
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace convoy

// Throws Error with the formatted message where the condition does not hold; in every build type.
#define CONVOY_CHECK(condition, ...)               \
  do {                                             \
    if (!(condition)) ::convoy::fail(__VA_ARGS__); \
  } while (false)
