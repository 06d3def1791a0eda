// What the subcommands share.
#include "cli/command.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <new>
#include <optional>
#include <thread>

#include "convoy/error.hpp"
#include "data/locate.hpp"
#include "data/synthetic.hpp"
#include "io/did_you_mean.hpp"
#include "io/host_info.hpp"
#include "mpi/launch.hpp"

namespace convoy {

CLI::App* add_command(CLI::App& program, const std::string& name, const std::string& summary,
                      const std::string& examples) {
  CLI::App* app = program.add_subcommand(name, summary);
  app->footer("Examples:\n" + examples);
  app->allow_extras();
  app->get_help_ptr()->group("Help");
  return app;
}

void reject_unknown(const CLI::App& app) {
  const std::vector<std::string> rest = app.remaining();
  if (rest.empty()) return;
  const bool is_program = app.get_parent() == nullptr;
  std::vector<std::string> known;
  if (rest.front().starts_with("-")) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& long_name : option->get_lnames()) known.push_back("--" + long_name);
    }
  } else if (is_program) {
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
      known.push_back(command->get_name());
    }
  }
  const std::string word = rest.front().substr(0, rest.front().find('='));
  const std::vector<std::string_view> views(known.begin(), known.end());
  const char* what = word.starts_with("-") ? "option" : is_program ? "command" : "argument";
  fail_usage("unknown {} '{}'{}; see convoy {}--help", what, word, did_you_mean(word, views),
             is_program ? "" : app.get_name() + " ");
}

void take_arguments(CLI::App& command, const std::vector<std::string>& arguments) {
  if (arguments.empty()) return;
  const std::vector<CLI::Option*> positional =
      command.get_options([](const CLI::Option* option) { return option->get_positional(); });
  if (positional.empty()) {
    fail_usage("unknown argument '{}' after '--'; see convoy {} --help", arguments.front(), command.get_name());
  }
  positional.front()->add_result(arguments);
  positional.front()->run_callback();
}

std::string data_or_found(const std::string& path) {
  if (!path.empty()) return path;
  const std::optional<std::string> found = find_data();
  if (!found) fail_usage("{}", kNoData);
  if (is_synthetic(*found)) return *found;
  if (!std::filesystem::exists(*found)) fail_usage("CONVOY_DATA: {}: no such file or folder", *found);
  return std::filesystem::absolute(*found).lexically_normal().string();  // recipe.toml must work anywhere
}

void reject_overwriting(std::string_view option, const std::string& output, std::string_view what,
                        const std::string& input) {
  std::error_code is_absent;
  if (output.empty() || !std::filesystem::equivalent(output, input, is_absent)) return;
  fail_usage("{} {}: is {} itself; name another", option, output, what);
}

ExitCode report_error(const std::exception& error) {
  const int process = launched_process();
  if (process > 0) std::this_thread::sleep_for(kFirstSpeaks);
  const bool is_memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
  std::fflush(stdout);
  fmt::print(stderr, "convoy: {}{}\n", process > 0 ? fmt::format("process {} on {}: ", process, host_name()) : "",
             is_memory ? "out of memory: use a smaller --batch or fewer --threads" : error.what());
  return exit_code_of(error);
}

ExitCode exit_code_of(const std::exception& error) {
  const auto* known = dynamic_cast<const Error*>(&error);
  return known != nullptr ? known->code() : ExitCode::failed;
}

}  // namespace convoy
