// What a shell may complete of a command line, read off the options themselves, and the scripts that tell each shell.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace convoy {

// What may stand where a value is expected.
struct CompletedValue {
  std::vector<std::string> words;
  bool is_file = false;  // or a folder
};

struct CompletedOption {
  std::vector<std::string> names;  // "--device"; of a flag also its opposite
  std::string help;
  bool takes_value = false;
  CompletedValue value;
};

struct CompletedCommand {
  std::string name, help;
  std::vector<CompletedOption> options;
  CompletedValue argument;
};

// By an option's type: of "auto|PATH" the small letters are a word, and PATH, FILE or DIR a file; the NAME of a recipe
// or a model is a shipped one's.
std::vector<CompletedCommand> completed_commands(const CLI::App& program);

std::string bash_completion(const std::vector<CompletedCommand>& commands);
std::string zsh_completion(const std::vector<CompletedCommand>& commands);
std::string fish_completion(const std::vector<CompletedCommand>& commands);

}  // namespace convoy
