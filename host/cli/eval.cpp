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
  std::string weights, logits, picture;
  bool per_class = false, json = false;
};

EvaluateOptions options_of(const EvalArguments& arguments, const RunConfig& config) {
  EvaluateOptions options;
  options.weights = arguments.weights;
  options.data = data_or_found(config.data);
  options.labels = config.labels;
  options.test_images = config.test_images;
  options.logits = arguments.logits;
  options.confusion = arguments.per_class || !arguments.picture.empty();
  options.picture = arguments.picture;
  if (config.is_from_command_line("views")) options.views = config.views;
  if (config.is_from_command_line("evaluation-batch")) options.evaluation_batch = config.evaluation_batch;
  return options;
}

using Json = nlohmann::ordered_json;

void add_classes(const Confusion& confusion, Json& json) {
  json["per_class"] = Json::array();
  json["confusion"] = Json::array();  // a row for each true class
  for (std::size_t truth = 0; truth < confusion.classes(); ++truth) {
    json["per_class"].push_back({{"class", confusion.class_names[truth]},
                                 {"images", confusion.images(truth)},
                                 {"correct", confusion.count(truth, truth)},
                                 {"accuracy", confusion.accuracy(truth)}});
    Json row = Json::array();
    for (std::size_t predicted = 0; predicted < confusion.classes(); ++predicted) {
      row.push_back(confusion.count(truth, predicted));
    }
    json["confusion"].push_back(std::move(row));
  }
}

void print_json(const WeightsEvaluation& evaluation, bool per_class) {
  const Evaluation& result = evaluation.result;
  Json json = {{"test_accuracy", result.accuracy}, {"test_accuracy_plain", result.accuracy_plain},
               {"test_loss", result.loss},         {"samples", result.samples},
               {"views", evaluation.views},        {"network", evaluation.network_name},
               {"data", evaluation.data_name}};
  if (per_class) add_classes(*evaluation.confusion, json);
  fmt::print("{}\n", json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// Numbers in full, the shortest text that reads back the same: summary.json has them to the last digit too.
void print_text(const WeightsEvaluation& evaluation, bool per_class) {
  const Evaluation& result = evaluation.result;
  fmt::print("{}\n", evaluation.device_line);
  fmt::print("{} on {}, {} test images, {} view{}\n", evaluation.network_name, evaluation.data_name, result.samples,
             evaluation.views, evaluation.views == 1 ? "" : "s");
  fmt::print("test accuracy    {}\n", result.accuracy);
  if (evaluation.views > 1) fmt::print("  without views  {}\n", result.accuracy_plain);
  fmt::print("test loss        {}\n", result.loss);
  if (per_class) fmt::print("{}", to_text(*evaluation.confusion));
}

int run(const EvalArguments& arguments) {
  const RunConfig config = arguments.options.resolve();
  const EvaluateOptions options = options_of(arguments, config);
  if (arguments.weights.empty()) fail_usage("--weights FILE is missing: a run's folder holds weights.safetensors");
  for (const auto& [option, output] : {std::pair{"--logits", arguments.logits}, {"--picture", arguments.picture}}) {
    reject_overwriting(option, output, "the --weights file", arguments.weights);
    reject_overwriting(option, output, "the --data file", options.data);
  }
  const WeightsEvaluation evaluation = evaluate_weights(options, config);
  for (const std::string& note : evaluation.notes) fmt::print(stderr, "{}\n", note);
  (arguments.json ? print_json : print_text)(evaluation, arguments.per_class);
  if (!arguments.picture.empty() && !arguments.json) fmt::print("picture: {}\n", arguments.picture);
  return static_cast<int>(ExitCode::done);
}

}  // namespace

Command add_eval(CLI::App& program, const CommandContext&) {
  CLI::App* app = add_command(
      program, "eval", "evaluate weights on a data set",
      "  convoy eval --weights runs/first/weights.safetensors --data cifar-10-binary.tar.gz\n"
      "  convoy eval --weights runs/first/weights.safetensors --data pictures --per-class --picture eval.png");
  app->description("Evaluates weights on a test set; the network and the normalisation are in the weights file.");
  const auto arguments = std::make_shared<EvalArguments>(*app);
  app->add_option("--weights", arguments->weights, "a run's weights.safetensors")->type_name("FILE")->group("Common");
  app->add_option("--logits", arguments->logits, "write logits and labels here (safetensors)")
      ->type_name("FILE")
      ->group("Output");
  app->add_flag("--per-class", arguments->per_class, "also each class's accuracy, and which are taken for which")
      ->group("Output");
  app->add_option("--picture", arguments->picture, "draw that and the most confident mistakes (PNG)")
      ->type_name("FILE")
      ->group("Output");
  app->add_flag("--json", arguments->json, "one line of JSON instead of text")->group("Output");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace convoy
