// The program: subcommands, and the one place that catches errors, prints them in one line and sets the exit code.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "cli/command.hpp"
#include "convoy/error.hpp"
#include "io/build_info.hpp"

namespace {

using namespace convoy;

std::string version_text() {
  const BuildInfo& build = build_info();
  std::string text = fmt::format("convoy {}", build.version);
  if (!build.commit.empty()) text += fmt::format(" ({}{})", build.commit, build.is_dirty ? ", dirty" : "");
  return text + fmt::format(", {}, {}", build.compiler, build.build_type);
}

[[noreturn]] void fail_output(int reason) {
  fail("standard output cannot be written{}", reason == 0 ? "" : fmt::format(": {}", std::strerror(reason)));
}

// What a command prints may be all that it gives. A reader that left, as head does, wanted no more of it.
int run_and_print(const Command& command) {
  int code = 0;
  try {
    code = command.run();
  } catch (const std::system_error& error) {  // fmt::print's
    if (std::ferror(stdout) == 0) throw;
    if (error.code().value() != EPIPE) fail_output(error.code().value());
    return static_cast<int>(ExitCode::failed);
  }
  errno = 0;
  const bool is_written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if (!is_written && errno != EPIPE && !command.leaves_files) fail_output(errno);
  return code;
}

int run(int argc, char** argv, const ProcessClock& clock) {
  CLI::App program("Convoy trains convolutional networks on CIFAR-class images.", "convoy");
  program.set_version_flag("--version", version_text());
  program.allow_extras();
  program.footer(
      "Examples:\n"
      "  convoy train --recipe fashion --data /usr/share/datasets/fashion-mnist\n"
      "  convoy info --recipes");
  const CommandContext context{clock, {argv, argv + argc}};
  const Command commands[] = {
      add_train(program, context),     add_eval(program, context),      add_predict(program, context),
      add_export(program, context),    add_info(program, context),      add_data(program, context),
      add_bench(program, context),     add_average(program, context),   add_selftest(program, context),
      add_preflight(program, context), add_completion(program, context)};
  // What follows "--" is no option, whatever it looks like.
  char** const end = std::find(argv + 1, argv + argc, std::string_view("--"));
  const std::vector<std::string> arguments(std::min(end + 1, argv + argc), argv + argc);
  try {
    program.parse(static_cast<int>(end - argv), argv);
    for (const Command& command : commands) {
      if (command.app->parsed()) take_arguments(*command.app, arguments);
    }
  } catch (const CLI::Success& success) {  // --help, --version
    return run_and_print({&program, [&] { return program.exit(success); }});
  } catch (const CLI::ParseError& error) {
    fail_usage("{}", error.what());
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    reject_unknown(*command.app);
    reject_unknown(program);
    return run_and_print(command);
  }
  reject_unknown(program);
  if (!arguments.empty()) fail_usage("which command? One stands before '--'; see convoy --help");
  fmt::print("{}", program.help());
  return static_cast<int>(ExitCode::usage);
}

}  // namespace

int main(int argc, char** argv) {
  const ProcessClock clock;
  try {
    return run(argc, argv, clock);
  } catch (const std::exception& error) {
    return static_cast<int>(report_error(error));
  }
}
