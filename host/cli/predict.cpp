// convoy predict: which classes pictures belong to, and how probably.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/config_options.hpp"
#include "convoy/error.hpp"
#include "train/predict_pictures.hpp"

namespace convoy {
namespace {

struct PredictArguments {
  explicit PredictArguments(CLI::App& app) : options(app, {"precision", "device", "threads", "data-mode", "views"}) {}
  ConfigOptions options;
  std::string weights;
  std::vector<std::string> paths;
  int most = 1;
  bool json = false;
};

using Json = nlohmann::ordered_json;

void print_json(const PicturePredictions& predictions) {
  for (const PicturePrediction& picture : predictions.pictures) {
    Json json = {{"file", picture.path}};
    if (!picture.error.empty()) {
      json["error"] = picture.error;
    } else {
      const auto name = [&](const Prediction& one) {
        return predictions.class_names[static_cast<std::size_t>(one.class_index)];
      };
      json["class"] = name(picture.classes.front());
      json["probability"] = picture.classes.front().probability;
      if (picture.classes.size() > 1) {
        for (const Prediction& one : picture.classes) {
          json["top"].push_back({{"class", name(one)}, {"probability", one.probability}});
        }
      }
    }
    fmt::print("{}\n", json.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

void print_text(const PicturePredictions& predictions) {
  std::size_t paths = 0, names = 0;
  for (const PicturePrediction& picture : predictions.pictures) paths = std::max(paths, picture.path.size());
  for (const std::string& name : predictions.class_names) names = std::max(names, name.size());
  for (const PicturePrediction& picture : predictions.pictures) {
    if (!picture.error.empty()) continue;
    std::string line = fmt::format("{:<{}}", picture.path, paths);
    for (const Prediction& one : picture.classes) {
      line += fmt::format("  {:<{}} {:.4f}", predictions.class_names[static_cast<std::size_t>(one.class_index)], names,
                          one.probability);
    }
    fmt::print("{}\n", line);
  }
}

int run(const PredictArguments& arguments) {
  const RunConfig config = arguments.options.resolve();
  if (arguments.weights.empty()) fail_usage("--weights FILE is missing: a run's folder holds weights.safetensors");
  if (arguments.paths.empty()) fail_usage("which pictures? Give files or folders, see convoy predict --help");
  PredictOptions options;
  options.weights = arguments.weights;
  options.paths = arguments.paths;
  options.most = arguments.most;
  if (config.is_from_command_line("views")) options.views = config.views;
  const PicturePredictions predictions = predict_pictures(options, config);
  (arguments.json ? print_json : print_text)(predictions);
  std::fflush(stdout);
  bool all_were_read = true;
  for (const PicturePrediction& picture : predictions.pictures) {
    if (picture.error.empty()) continue;
    fmt::print(stderr, "convoy: {}\n", picture.error);
    all_were_read = false;
  }
  return static_cast<int>(all_were_read ? ExitCode::done : ExitCode::failed);
}

}  // namespace

Command add_predict(CLI::App& program, const CommandContext&) {
  CLI::App* app = add_command(program, "predict", "classify pictures",
                              "  convoy predict --weights runs/first/weights.safetensors cat.jpg dog.png\n"
                              "  convoy predict --weights runs/first/weights.safetensors --top 3 --json pictures/");
  const auto arguments = std::make_shared<PredictArguments>(*app);
  app->description(
      "Classifies pictures (PNG, JPEG; any size): a line for each, with the most probable class and its probability.\n"
      "Size, normalisation and views are the weights file's. A file that is no picture gets a line on stderr; the\n"
      "others are classified all the same, and the exit code is 1.");
  app->add_option("pictures", arguments->paths, "files, and folders with .png, .jpg and .jpeg files")
      ->type_name("PATH...");
  app->add_option("--weights", arguments->weights, "a run's weights.safetensors")->type_name("FILE")->group("Common");
  app->add_option("--top", arguments->most, "how many classes to tell [1]")
      ->check(CLI::Range(1, 100000))
      ->type_name("N")
      ->group("Output");
  app->add_flag("--json", arguments->json, "a JSON object a line instead of text")->group("Output");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace convoy
