// convoy eval: the accuracy of a weights file on a data set, as the run that wrote it measured it.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/config_options.hpp"
#include "convoy/error.hpp"
#include "train/evaluate_weights.hpp"

namespace convoy {
namespace {

struct EvalArguments {
  explicit EvalArguments(CLI::App& app)
      : options(app, {"data", "precision", "device", "threads", "labels", "data-mode", "test-images", "views",
                      "evaluation-batch"}) {}
  ConfigOptions options;
  std::string weights, logits;
  bool json = false;
};

EvaluateOptions options_of(const EvalArguments& arguments, const RunConfig& config) {
  EvaluateOptions options;
  options.weights = arguments.weights;
  options.data = data_or_found(config.data);
  options.labels = config.labels;
  options.test_images = config.test_images;
  options.logits = arguments.logits;
  if (config.is_from_command_line("views")) options.views = config.views;
  if (config.is_from_command_line("evaluation-batch")) options.evaluation_batch = config.evaluation_batch;
  return options;
}

// Numbers in full, the shortest text that reads back the same: summary.json has them to the last digit too.
void print(const WeightsEvaluation& evaluation, bool as_json) {
  const Evaluation& result = evaluation.result;
  if (as_json) {
    const nlohmann::ordered_json json = {
        {"test_accuracy", result.accuracy}, {"test_accuracy_plain", result.accuracy_plain},
        {"test_loss", result.loss},         {"samples", result.samples},
        {"views", evaluation.views},        {"network", evaluation.network_name},
        {"data", evaluation.data_name}};
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("{}\n", evaluation.device_line);
  fmt::print("{} on {}, {} test images, {} view{}\n", evaluation.network_name, evaluation.data_name, result.samples,
             evaluation.views, evaluation.views == 1 ? "" : "s");
  fmt::print("test accuracy    {}\n", result.accuracy);
  if (evaluation.views > 1) fmt::print("  without views  {}\n", result.accuracy_plain);
  fmt::print("test loss        {}\n", result.loss);
}

int run(const EvalArguments& arguments) {
  const RunConfig config = arguments.options.resolve();
  const EvaluateOptions options = options_of(arguments, config);
  if (arguments.weights.empty()) fail_usage("--weights FILE is missing: a run's folder holds weights.safetensors");
  print(evaluate_weights(options, config), arguments.json);
  return static_cast<int>(ExitCode::done);
}

}  // namespace

Command add_eval(CLI::App& program, const CommandContext&) {
  CLI::App* app = add_command(program, "eval", "evaluate weights on a data set",
                              "  convoy eval --weights runs/first/weights.safetensors --data cifar-10-binary.tar.gz\n"
                              "  convoy eval --weights runs/first/weights.safetensors --data synthetic --views 1");
  app->description("Evaluates weights on a test set; the network and the normalisation are in the weights file.");
  const auto arguments = std::make_shared<EvalArguments>(*app);
  app->add_option("--weights", arguments->weights, "a run's weights.safetensors")->type_name("FILE")->group("Common");
  app->add_option("--logits", arguments->logits, "write logits and labels here (safetensors)")
      ->type_name("FILE")
      ->group("Output");
  app->add_flag("--json", arguments->json, "one line of JSON instead of text")->group("Output");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace convoy
