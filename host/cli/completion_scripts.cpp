// The scripts name every option of every command; how a shell is told so is all that differs.
#include <fmt/format.h>

#include <string_view>

#include "cli/completions.hpp"

namespace convoy {
namespace {

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// In single quotes, as bash and zsh read them.
std::string single_quoted(const std::string& text) { return "'" + replaced(text, "'", R"('\'')") + "'"; }

// COMP_WORDS is split at "=", too.
constexpr std::string_view kBashStart =
    R"(# bash completion for convoy: source it, or install it as bash-completion/completions/convoy.
_convoy() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words='' files=''
  if [[ $word == '=' ]]; then
    word=''
  elif [[ $before == '=' ]]; then
    before=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  ((COMP_CWORD == 1)) && command='' before=''
  case "$command $before" in
)";

constexpr std::string_view kBashEnd = R"(  esac
  COMPREPLY=()
  local found
  while IFS='' read -r found; do COMPREPLY+=("$found"); done < <(
    compgen -W "$words" -- "$word"
    [[ $files ]] && compgen -f -- "$word"
  )
  if [[ $files ]]; then compopt -o filenames 2> /dev/null; fi
}
complete -F _convoy convoy
)";

std::string bash_value(const CompletedValue& value) {
  std::string text;
  if (!value.words.empty())
    text += fmt::format("words={} ", single_quoted(fmt::format("{}", fmt::join(value.words, " "))));
  if (value.is_file) text += "files=1 ";
  return text.empty() ? ": " : text;
}

}  // namespace

std::string bash_completion(const std::vector<CompletedCommand>& commands) {
  std::string script(kBashStart), first = "--help --version";
  for (const CompletedCommand& command : commands) {
    first += " " + command.name;
    std::string options;
    for (const CompletedOption& option : command.options) {
      for (const std::string& name : option.names) {
        options += name + " ";
        if (option.takes_value)
          script += fmt::format("    '{} {}') {};;\n", command.name, name, bash_value(option.value));
      }
    }
    script += fmt::format("    '{} '*)\n      if [[ $word == -* ]]; then words={}; else {}; fi ;;\n", command.name,
                          single_quoted(options), bash_value(command.argument));
  }
  script += fmt::format("    ' ') words={} ;;\n", single_quoted(first));
  return script + std::string(kBashEnd);
}

namespace {

// Between the brackets of zsh's _arguments.
std::string zsh_help(const std::string& text) { return replaced(replaced(text, "[", "("), "]", ")"); }

std::string zsh_value(const CompletedValue& value) {
  const std::string words = fmt::format("({})", fmt::join(value.words, " "));
  if (value.words.empty()) return value.is_file ? "_files" : " ";
  return value.is_file ? fmt::format(R"({{_alternative "words\:word\:{}" "files\:file\:_files"}})", words) : words;
}

std::string fish_quoted(const std::string& text) {
  return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

}  // namespace

std::string zsh_completion(const std::vector<CompletedCommand>& commands) {
  std::string
      script =
          "#compdef convoy\n# zsh completion for convoy: install it as _convoy in a folder of $fpath.\n_convoy() {\n",
      names, cases;
  for (const CompletedCommand& command : commands) {
    names += fmt::format("    {}\n",
                         single_quoted(replaced(command.name + ":" + replaced(command.help, ":", "\\:"), "\n", " ")));
    cases += fmt::format("    {})\n      _arguments", command.name);
    for (const CompletedOption& option : command.options) {
      for (const std::string& name : option.names) {
        const std::string help = fmt::format("[{}]", zsh_help(option.help));
        const std::string spec =
            option.takes_value ? fmt::format("{}={}:value:{}", name, help, zsh_value(option.value)) : name + help;
        cases += " \\\n        " + single_quoted(spec);
      }
    }
    cases += fmt::format(" \\\n        {} ;;\n", single_quoted("*:argument:" + zsh_value(command.argument)));
  }
  return script + fmt::format(
                      "  local -a commands=(\n{}  )\n"
                      "  if ((CURRENT == 2)); then\n"
                      "    _describe command commands\n"
                      "    return\n"
                      "  fi\n"
                      "  shift words\n"
                      "  ((CURRENT--))\n"
                      "  case $words[1] in\n{}  esac\n}}\n"
                      "if [[ $funcstack[1] == _convoy ]]; then _convoy \"$@\"; else compdef _convoy convoy; fi\n",
                      names, cases);
}

std::string fish_completion(const std::vector<CompletedCommand>& commands) {
  std::string script =
      "# fish completion for convoy: install it as convoy.fish in a folder of $fish_complete_path.\n"
      "complete -c convoy -f\n"
      "complete -c convoy -n __fish_use_subcommand -l help\n"
      "complete -c convoy -n __fish_use_subcommand -l version\n";
  const auto value_of = [](const CompletedValue& value) {
    std::string text = value.is_file ? " -F" : "";
    if (!value.words.empty()) text += " -a " + fish_quoted(fmt::format("{}", fmt::join(value.words, " ")));
    return text;
  };
  for (const CompletedCommand& command : commands) {
    script += fmt::format("complete -c convoy -n __fish_use_subcommand -a {} -d {}\n", command.name,
                          fish_quoted(command.help));
    const std::string start = fmt::format("complete -c convoy -n '__fish_seen_subcommand_from {}'", command.name);
    for (const CompletedOption& option : command.options) {
      for (const std::string& name : option.names) {
        script += fmt::format("{} -l {}{}{} -d {}\n", start, name.substr(2),
                              !option.takes_value    ? ""
                              : option.value.is_file ? " -r"
                                                     : " -x",
                              value_of(option.value), fish_quoted(option.help));
      }
    }
    if (const std::string argument = value_of(command.argument); !argument.empty()) script += start + argument + "\n";
  }
  return script;
}

}  // namespace convoy
