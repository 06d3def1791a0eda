// The one table of a run's options. The command line, the recipe reader and the writer of recipe.toml all go by it:
// a new option is a field of RunConfig and a row here.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "train/run_config.hpp"

namespace convoy {

enum class OptionGroup : std::uint8_t { common, data, model, optimizer, augmentation, ranks, output, advanced };
std::string_view name(OptionGroup group);  // "Data"

// How a recipe holds it: "text", 3, 0.1, true. A `word` is one of the placeholder's words.
enum class ValueKind : std::uint8_t { text, word, integer, real, boolean };

enum class OnResume : std::uint8_t { fixed, may_change };

template <typename Root>
struct OptionRow {
  std::string_view name;  // --name, and the recipe's key
  OptionGroup group;
  ValueKind kind;
  std::string_view placeholder;  // "PATH", or the words "sgd|adam"
  std::string_view help;
  OnResume on_resume;
  void (*set)(Root&, std::string_view);  // throws UsageError without the option's name
  std::string (*get)(const Root&);
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
};
using RunOption = OptionRow<RunConfig>;
using GroupOption = OptionRow<GroupSettings>;

std::span<const RunOption> run_options();
std::span<const GroupOption> group_options();  // what a table [groups.NAME] may say

// Sets an option from text; throws UsageError naming option, expected and found. `where` precedes the message:
// "recipe.toml:3: " or "".
void set_option(RunConfig& config, std::string_view option, std::string_view value, std::string_view where,
                const std::string& origin);
// The same for the group `group_name`.
void set_group_option(RunConfig& config, const std::string& group_name, std::string_view option, std::string_view value,
                      std::string_view where, const std::string& origin);

// Throws UsageError with the nearest known option.
const RunOption& find_run_option(std::string_view option, std::string_view where);
const GroupOption& find_group_option(std::string_view option, std::string_view where);

}  // namespace convoy
