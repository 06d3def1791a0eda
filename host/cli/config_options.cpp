// Values stay text here: the table reads them, so that a recipe and the command line give the same messages.
#include "cli/config_options.hpp"

#include <memory>

#include "train/run_options.hpp"

namespace convoy {

ConfigOptions::ConfigOptions(CLI::App& app) {
  app.add_option("--recipe", recipe_, "settings to start from: a name from 'convoy info --recipes', or a TOML file")
      ->type_name("NAME|FILE")
      ->group("Common");
  for (const RunOption& row : run_options()) add(app, row.name);
  app.add_option_function<std::vector<std::string>>(
         "--group",
         [this](const std::vector<std::string>& values) {
           for (const std::string& value : values) settings_.push_back({"group", value});
         },
         "setting of one parameter group, e.g. filters.learning-rate=0.24; may be repeated")
      ->type_name("NAME.OPTION=VALUE")
      ->allow_extra_args(false)
      ->group(std::string(name(OptionGroup::optimizer)));
}

ConfigOptions::ConfigOptions(CLI::App& app, const std::vector<std::string_view>& names) {
  for (const std::string_view option : names) add(app, option);
}

void ConfigOptions::add(CLI::App& app, std::string_view option_name) {
  const RunOption& row = find_run_option(option_name, "");
  const std::string option(row.name);
  const std::string help(row.help);
  if (row.kind == ValueKind::boolean) {
    app.add_flag_function(
           "--" + option + ",!--no-" + option,
           [this, option](std::int64_t count) {
             settings_.push_back({option, count > 0 ? "true" : "false"});
           },
           help)
        ->group(std::string(name(row.group)));
    return;
  }
  const std::string preset = row.get(RunConfig{});
  app.add_option_function<std::string>(
         "--" + option,
         [this, option](const std::string& value) {
           settings_.push_back({option, value});
         },
         preset.empty() ? help : help + " [" + preset + "]")
      ->type_name(std::string(row.placeholder))
      ->take_last()
      ->group(std::string(name(row.group)));
}

RunConfig ConfigOptions::resolve() const { return resolve_config(recipe_, settings_); }

}  // namespace convoy
