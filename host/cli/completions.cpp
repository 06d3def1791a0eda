#include "cli/completions.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <sstream>

#include "io/embedded.hpp"

namespace convoy {
namespace {

std::vector<std::string> names_of(std::span<const EmbeddedFile> files) {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : files) names.emplace_back(file.name);
  return names;
}

bool is_placeholder(const std::string& part) {
  return part.empty() || std::ranges::any_of(part, [](unsigned char c) { return std::isupper(c) != 0; });
}

CompletedValue value_of(const CLI::Option& option) {
  constexpr std::array<std::string_view, 3> kFiles = {"FILE", "PATH", "DIR"};
  std::string type = option.get_type_name();
  type = type.substr(0, type.find(':'));  // what follows are CLI11's own words on its bounds
  if (type.ends_with("...")) type.resize(type.size() - 3);
  CompletedValue value;
  std::istringstream parts(type);
  for (std::string part; std::getline(parts, part, '|');) {
    if (!is_placeholder(part)) value.words.push_back(part);
    if (std::ranges::find(kFiles, part) != kFiles.end()) value.is_file = true;
    if (part != "NAME") continue;
    if (option.check_lname("recipe")) value.words = names_of(embedded_recipes());
    if (option.check_lname("model")) value.words = names_of(embedded_networks());
  }
  return value;
}

}  // namespace

std::vector<CompletedCommand> completed_commands(const CLI::App& program) {
  std::vector<CompletedCommand> commands;
  for (const CLI::App* app : program.get_subcommands([](const CLI::App*) { return true; })) {
    CompletedCommand command{app->get_name(), app->get_description(), {}, {}};
    command.help = command.help.substr(0, command.help.find('\n'));
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_positional()) {
        command.argument = value_of(*option);
        continue;
      }
      CompletedOption completed{{}, option->get_description(), option->get_items_expected_max() > 0, value_of(*option)};
      for (const std::string& name : option->get_lnames()) completed.names.push_back("--" + name);
      command.options.push_back(std::move(completed));
    }
    commands.push_back(std::move(command));
  }
  return commands;
}

}  // namespace convoy
