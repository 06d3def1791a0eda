// The table of options as options of a subcommand.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "train/run_config.hpp"

namespace convoy {

// Must outlive the parsing: the options write into it.
class ConfigOptions {
 public:
  // All options of the table, --recipe and --group.
  explicit ConfigOptions(CLI::App& app);
  // Only these.
  ConfigOptions(CLI::App& app, const std::vector<std::string_view>& names);
  ConfigOptions(const ConfigOptions&) = delete;
  ConfigOptions& operator=(const ConfigOptions&) = delete;

  RunConfig resolve() const;
  RunConfig resolve_resuming() const;  // of a run that --resume may go on with
  // What stood on the command line, for commands whose other settings come from elsewhere.
  const std::vector<Setting>& settings() const { return settings_; }

 private:
  void add(CLI::App& app, std::string_view name);

  std::string recipe_;
  std::vector<Setting> settings_;
};

}  // namespace convoy
