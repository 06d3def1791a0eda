// A command line run by the shell, for tests of whole programs.
#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

namespace convoy::test {

struct ShellOutcome {
  int code = -1;  // exit status, 128 + the signal where one ended it
  std::string output;
};

inline ShellOutcome run_shell(const std::string& command) {
  ShellOutcome outcome;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return outcome;
  std::array<char, 4096> buffer{};
  for (std::size_t got; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    outcome.output.append(buffer.data(), got);
  }
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

// For a script: `ranks PID` prints the processes of convoy that PID has started, by itself or by others, in the order
// of their starts.
inline constexpr const char* kRanksOf =
    "descendants() { for p in $(cat /proc/$1/task/*/children); do echo $p; descendants $p; done; }\n"
    "ranks() { for p in $(descendants $1); do [ \"$(cat /proc/$p/comm)\" != convoy ] || echo $p; done; }\n";

}  // namespace convoy::test
