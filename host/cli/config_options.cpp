// Values stay text here: the table reads them, so that a recipe and the command line give the same messages.
#include "cli/config_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "train/checkpoint/resume.hpp"
#include "train/run_options.hpp"

namespace convoy {
namespace {

// Beside all of the group Common: what --help shows, so that it fits a screen.
constexpr std::string_view kUsual[] = {
    "flip",          "translate", "average",        "batch-per-rank", "gpus-per-process",
    "virtual-ranks", "log-every", "evaluate-every", "help",           "help-all"};

constexpr std::size_t kColumnWidth = 36;  // "  --precision fp32|tf32|bf16|fp16" and a gap: on one line with its help

bool is_usual(const CLI::Option* option) {
  const std::string name = option->get_lnames().empty() ? "" : option->get_lnames().front();
  return option->get_group() == "Common" || std::ranges::find(kUsual, name) != std::end(kUsual);
}

// --help shows the usual options, --help-all every one.
class ShortHelp final : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    shows_all_ = mode == CLI::AppFormatMode::All;
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    for (std::size_t at; (at = text.find("\n\n\n")) != std::string::npos;) text.erase(at, 1);  // where groups were
    return text;
  }
  std::string make_group(std::string group, bool is_positional,
                         std::vector<const CLI::Option*> options) const override {
    if (!shows_all_) std::erase_if(options, [](const CLI::Option* option) { return !is_usual(option); });
    return options.empty() ? "" : CLI::Formatter::make_group(std::move(group), is_positional, std::move(options));
  }

 private:
  mutable bool shows_all_ = false;  // the base's functions are const
};

}  // namespace

ConfigOptions::ConfigOptions(CLI::App& app) {
  app.set_help_all_flag("--help-all", fmt::format("Print all {} options and exit", run_options().size() + 2))
      ->group("Help");
  const auto formatter = std::make_shared<ShortHelp>();
  formatter->column_width(kColumnWidth);
  app.formatter(formatter);
  app.add_option("--recipe", recipe_, "settings to start from: a name from 'convoy info --recipes', or a TOML file")
      ->type_name("NAME|FILE")
      ->group("Common")
      ->take_last();
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

RunConfig ConfigOptions::resolve_resuming() const { return convoy::resolve_resuming(recipe_, settings_); }

}  // namespace convoy
