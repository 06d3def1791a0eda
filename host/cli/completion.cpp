// convoy completion: what makes a shell complete commands, options and their values.
#include <cstdio>
#include <memory>

#include "cli/command.hpp"
#include "cli/completions.hpp"

namespace convoy {
namespace {

struct Shell {
  std::string_view name;
  std::string (*script)(const std::vector<CompletedCommand>&);
};
constexpr Shell kShells[] = {{"bash", bash_completion}, {"zsh", zsh_completion}, {"fish", fish_completion}};
constexpr const char* kNames = "bash|zsh|fish";

int run(const CLI::App& program, const std::string& name) {
  for (const Shell& shell : kShells) {
    if (shell.name != name) continue;
    fmt::print("{}", shell.script(completed_commands(program)));
    return static_cast<int>(ExitCode::done);
  }
  fail_usage("completion: one of {} expected, '{}' found", kNames, name);
}

}  // namespace

Command add_completion(CLI::App& program, const CommandContext&) {
  CLI::App* app = add_command(program, "completion", "a script by which a shell completes convoy's options",
                              "  source <(convoy completion bash)\n"
                              "  convoy completion fish > ~/.config/fish/completions/convoy.fish");
  app->description(
      "Prints a script by which a shell completes commands, options and their values. For bash, source it; for zsh, "
      "put\n"
      "it as _convoy into a folder of $fpath; for fish, as convoy.fish into ~/.config/fish/completions.");
  const auto shell = std::make_shared<std::string>();
  app->add_option("shell", *shell, "the shell")->type_name(kNames);
  return {app, [&program, shell] { return run(program, *shell); }};
}

}  // namespace convoy
