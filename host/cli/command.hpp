// What every subcommand is given, and what it gives back to main: its CLI11 part and the function that runs it.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "convoy/error.hpp"
#include "io/process_clock.hpp"

namespace convoy {

struct CommandContext {
  const ProcessClock& clock;
  std::vector<std::string> command_line;  // as typed, the program's name first
};

struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;   // the exit code
  bool leaves_files = false;  // with all its results, so that nobody need read what it prints
};

// One file each; a new subcommand is a file and a row in main.cpp.
Command add_train(CLI::App& program, const CommandContext& context);
Command add_eval(CLI::App& program, const CommandContext& context);
Command add_predict(CLI::App& program, const CommandContext& context);
Command add_export(CLI::App& program, const CommandContext& context);
Command add_info(CLI::App& program, const CommandContext& context);
Command add_data(CLI::App& program, const CommandContext& context);
Command add_bench(CLI::App& program, const CommandContext& context);
Command add_selftest(CLI::App& program, const CommandContext& context);
Command add_preflight(CLI::App& program, const CommandContext& context);
Command add_average(CLI::App& program, const CommandContext& context);
Command add_completion(CLI::App& program, const CommandContext& context);

// One line on stderr and the exit code that belongs to it. In a job of several processes others than the first name
// themselves, after two seconds, in which the first ends them where all failed alike.
ExitCode report_error(const std::exception& error);
ExitCode exit_code_of(const std::exception& error);
constexpr std::chrono::seconds kFirstSpeaks{2};

// A subcommand whose unknown arguments are refused by reject_unknown, with the nearest known option.
CLI::App* add_command(CLI::App& program, const std::string& name, const std::string& summary,
                      const std::string& examples);
void reject_unknown(const CLI::App& app);
// What stood behind "--": the command's arguments, or UsageError where it has none.
void take_arguments(CLI::App& command, const std::vector<std::string>& arguments);

// The path given, else where data are found; throws UsageError with the commands that fetch data where there are none.
std::string data_or_found(const std::string& path);

// UsageError where the file that an option names to be written is one that is read: "the --weights file".
void reject_overwriting(std::string_view option, const std::string& output, std::string_view what,
                        const std::string& input);

}  // namespace convoy
