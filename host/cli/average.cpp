// convoy average: the mean of several weights files.
#include <fmt/format.h>

#include <memory>

#include "cli/command.hpp"
#include "cli/config_options.hpp"
#include "convoy/error.hpp"
#include "train/average_weights.hpp"

namespace convoy {
namespace {

struct AverageArguments {
  explicit AverageArguments(CLI::App& app)
      : options(app, {"data", "labels", "data-mode", "batch", "device", "threads"}) {}
  ConfigOptions options;
  AverageOptions files;
};

int run(const AverageArguments& arguments) {
  RunConfig config = arguments.options.resolve();
  if (arguments.files.weights.empty())
    fail_usage("no weights files: convoy average RUN/weights.safetensors ... --out FILE");
  if (arguments.files.out.empty()) fail_usage("--out FILE is missing");
  for (const std::filesystem::path& weights : arguments.files.weights) {
    reject_overwriting("--out", arguments.files.out.string(), "one of the weights files", weights.string());
  }
  if (arguments.files.recalibrate > 0) config.data = data_or_found(config.data);
  for (const std::string& line : average_weights(arguments.files, std::move(config))) fmt::print("{}\n", line);
  return static_cast<int>(ExitCode::done);
}

}  // namespace

Command add_average(CLI::App& program, const CommandContext&) {
  CLI::App* app =
      add_command(program, "average", "average weights files",
                  "  convoy average runs/a/weights.safetensors runs/b/weights.safetensors --out mean.safetensors\n"
                  "  convoy average runs/*/weights.safetensors --out mean.safetensors --recalibrate 20 --data "
                  "cifar-10-binary.tar.gz");
  app->description(
      "Averages the weights of several runs of one network. Networks that started apart average to chance;\n"
      "those that went on from common weights may not. With batch normalisation, --recalibrate helps.");
  const auto arguments = std::make_shared<AverageArguments>(*app);
  app->add_option("weights", arguments->files.weights, "weights files of runs")->type_name("FILE...");
  app->add_option("--out", arguments->files.out, "the file to write")->type_name("FILE")->group("Common");
  app->add_option("--recalibrate", arguments->files.recalibrate,
                  "batches of training images for new normalisation statistics [0]")
      ->check(CLI::Range(0, 1 << 20))
      ->type_name("N")
      ->group("Common");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace convoy
