// Recipes: TOML with the options of the table as keys, and a table [groups.NAME] for each parameter group that
// differs; all of it over that of another recipe, the `base`, where one is named. The reader gives file and line of
// every fault; what the writer writes, the reader reads back the same.
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "convoy/error.hpp"
#include "train/run_config.hpp"
#include "train/run_options.hpp"

namespace convoy {
namespace {

std::string_view describe(toml::node_type type) {
  switch (type) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

std::string place(const std::string& file, const toml::source_region& source) {
  return fmt::format("{}:{}", file, source.begin.line);
}

// The value as the table's setters read it. A number may stand where text is expected: evaluate-every = 2.
std::string text_of(const toml::node& node, ValueKind kind, const std::string& where, std::string_view option) {
  if (const auto* value = node.as_boolean()) {
    if (kind == ValueKind::boolean) return value->get() ? "true" : "false";
  } else if (const auto* integer = node.as_integer()) {
    if (kind != ValueKind::boolean) return fmt::format("{}", integer->get());
  } else if (const auto* number = node.as_floating_point()) {
    if (kind == ValueKind::real) return fmt::format("{}", number->get());
  } else if (const auto* text = node.as_string()) {
    if (kind == ValueKind::text || kind == ValueKind::word) return text->get();
  }
  constexpr std::string_view kExpected[] = {"text", "a word in quotes", "a whole number", "a number", "true or false"};
  fail_usage("{}: {}: {} expected, {} found", where, option, kExpected[static_cast<std::size_t>(kind)],
             describe(node.type()));
}

void read_group(RunConfig& config, const std::string& group_name, const toml::table& table, const std::string& file) {
  config.groups[group_name];
  for (const auto& [key, node] : table) {
    const std::string origin = place(file, node.source());
    const GroupOption& row = find_group_option(key.str(), origin + ": ");
    const std::string text = text_of(node, row.kind, origin, row.name);
    set_group_option(config, group_name, row.name, text, origin + ": ", origin);
  }
}

void read_groups(RunConfig& config, const toml::node& node, const std::string& file) {
  if (!node.is_table()) {
    fail_usage("{}: groups: tables [groups.NAME] expected, {} found", place(file, node.source()),
               describe(node.type()));
  }
  for (const auto& [name, group] : *node.as_table()) {
    if (!group.is_table()) {
      fail_usage("{}: groups.{}: a table [groups.{}] expected, {} found", place(file, group.source()), name.str(),
                 name.str(), describe(group.type()));
    }
    read_group(config, std::string(name.str()), *group.as_table(), file);
  }
}

toml::table parse_toml(std::string_view text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    fail_usage("{}: {}", place(file, error.source()), error.description());
  }
}

// What the recipe is built on: all but the base's name and description.
RunConfig base_of(const toml::table& table, const std::string& file, const BaseReader& read_base) {
  const toml::node* node = table.get("base");
  if (node == nullptr) return {};
  const std::string origin = place(file, node->source());
  const std::string base = text_of(*node, ValueKind::text, origin, "base");
  if (!read_base) fail_usage("{}: a resolved recipe has no base", origin);
  RunConfig config = read_base(base, origin + ": base: ");
  config.name = RunConfig{}.name;
  config.description.clear();
  return config;
}

std::string toml_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += fmt::format("\\{}", c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      result += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string as_toml(ValueKind kind, const std::string& text) {
  return kind == ValueKind::text || kind == ValueKind::word ? toml_text(text) : text;
}

// --repeat is a series' alone: its runs say what they would alone.
bool is_one_run(const RunOption& row, const RunConfig& config) { return row.name == "repeat" && config.repeat == 1; }

}  // namespace

RunConfig parse_recipe(std::string_view text, const std::string& file, const BaseReader& read_base) {
  const toml::table table = parse_toml(text, file);
  RunConfig config = base_of(table, file, read_base);
  for (const auto& [key, node] : table) {
    const std::string origin = place(file, node.source());
    if (key.str() == "base") continue;
    if (key.str() == "groups") {
      read_groups(config, node, file);
    } else if (key.str() == "name" || key.str() == "description") {
      (key.str() == "name" ? config.name : config.description) = text_of(node, ValueKind::text, origin, key.str());
    } else {
      const RunOption& row = find_run_option(key.str(), origin + ": ");
      set_option(config, row.name, text_of(node, row.kind, origin, row.name), origin + ": ", origin);
    }
  }
  const bool is_usable_name = !config.name.empty() && config.name.find('/') == std::string::npos;
  if (!is_usable_name) fail_usage("{}: name: text without '/' expected, '{}' found", file, config.name);
  check_config(config);
  return config;
}

std::string to_toml(const RunConfig& config) {
  std::string result = "# The resolved configuration of a run; `convoy train --recipe THIS_FILE` repeats it.\n";
  result += fmt::format("name = {}\n", toml_text(config.name));
  if (!config.description.empty()) result += fmt::format("description = {}\n", toml_text(config.description));
  OptionGroup group = OptionGroup::advanced;
  for (const RunOption& row : run_options()) {
    const std::string value = row.get(config);
    if (row.name == "out" || row.name == "resume" || value.empty() || is_one_run(row, config)) continue;
    if (row.group != group) result += fmt::format("\n# {}\n", name(row.group));
    group = row.group;
    result += fmt::format("{} = {}\n", row.name, as_toml(row.kind, value));
  }
  for (const auto& [group_name, settings] : config.groups) {
    result += fmt::format("\n[groups.{}]\n", toml_text(group_name));
    for (const std::string& option : settings.given) {
      const GroupOption& row = find_group_option(option, "");
      result += fmt::format("{} = {}\n", option, as_toml(row.kind, row.get(settings.settings)));
    }
  }
  return result;
}

std::string to_json(const RunConfig& config) {
  const auto value_of = [](ValueKind kind, const std::string& text) {
    const bool is_text = kind == ValueKind::text || kind == ValueKind::word;
    return is_text ? nlohmann::ordered_json(text) : nlohmann::ordered_json::parse(text);
  };
  nlohmann::ordered_json json;
  json["name"] = config.name;
  for (const RunOption& row : run_options()) {
    if (!is_one_run(row, config)) json[std::string(row.name)] = value_of(row.kind, row.get(config));
  }
  for (const auto& [group_name, group] : config.groups) {
    nlohmann::ordered_json& table = json["groups"][group_name];
    table = nlohmann::ordered_json::object();
    for (const std::string& option : group.given) {
      const GroupOption& row = find_group_option(option, "");
      table[option] = value_of(row.kind, row.get(group.settings));
    }
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace convoy
