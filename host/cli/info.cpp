// convoy info: what the program carries and what it finds here; a network's layers, shapes and lowered operations.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "convoy/error.hpp"
#include "data/image_file.hpp"
#include "io/embedded.hpp"
#include "nn/describe.hpp"
#include "nn/lower.hpp"
#include "nn/network.hpp"
#include "train/devices.hpp"
#include "train/recipe_file.hpp"
#include "train/run_config.hpp"

namespace convoy {
namespace {

struct InfoArguments {
  std::string model, recipe;
  int classes = 10, channels = 3;
  bool models = false, recipes = false, devices = false;
};

void show_network(const InfoArguments& arguments) {
  const Network network = load_network(arguments.model);
  const Shapes shapes = infer_shapes(network, arguments.classes, arguments.channels);
  const ParamLayout layout = make_layout(network, shapes);
  fmt::print("{}", describe(network, shapes, layout, lower(network, shapes, layout)));
}

void list_models() {
  fmt::print("networks (--model):\n");
  for (const EmbeddedFile& file : embedded_networks()) {
    const Network network = load_network(std::string(file.name));
    const Shapes shapes = infer_shapes(network, 10, 3);
    const ParamLayout layout = make_layout(network, shapes);
    const Flops work = flops(lower(network, shapes, layout));
    fmt::print("  {:<20} {:>12} parameters  {:>8.1f} MFLOP an image\n", file.name,
               fmt::format("{}", layout.weight_count()), work.forward * 1e-6);
  }
}

void list_recipes() {
  fmt::print("recipes (--recipe):\n");
  for (const EmbeddedFile& file : embedded_recipes()) {
    const RunConfig config = read_recipe(std::string(file.name));
    fmt::print("  {:<20} {}\n", file.name, config.description);
  }
}

void list_devices() {
  fmt::print("devices (--device):\n");
  for (const BackendRow& row : backends()) {
    const std::string missing = row.missing();
    if (!missing.empty()) {
      fmt::print("  {:<20} no: {}\n", row.name, missing);
      continue;
    }
    std::vector<std::string> precisions;
    for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16, Precision::fp16}) {
      const std::string lacks = row.lacks(precision);
      precisions.push_back(lacks.empty() ? std::string(name(precision))
                                         : fmt::format("no {} ({})", name(precision), lacks));
    }
    fmt::print("  {:<20} {}\n  {:<20} {}\n", row.name, describe(row.make({})->info()), "", fmt::join(precisions, ", "));
    if (row.describe == nullptr) continue;
    for (const std::string& line : row.describe()) fmt::print("  {:<20} {}\n", "", line);
  }
}

void list_formats() { fmt::print("pictures:\n  {}\n", fmt::join(picture_formats(), "\n  ")); }

void show_recipe(const std::string& recipe) { fmt::print("{}", to_toml(resolve_config(recipe, {}))); }

int run(const InfoArguments& arguments) {
  const bool is_any = arguments.models || arguments.recipes || arguments.devices || !arguments.model.empty() ||
                      !arguments.recipe.empty();
  if (!arguments.model.empty()) show_network(arguments);
  if (!arguments.recipe.empty()) show_recipe(arguments.recipe);
  if (arguments.models || !is_any) list_models();
  if (arguments.recipes || !is_any) list_recipes();
  if (arguments.devices || !is_any) list_devices();
  if (!is_any) list_formats();
  return 0;
}

}  // namespace

Command add_info(CLI::App& program, const CommandContext&) {
  CLI::App* app = add_command(program, "info", "show networks, recipes and devices",
                              "  convoy info --model airbench94\n"
                              "  convoy info --recipe fashion > mine.toml");
  const auto arguments = std::make_shared<InfoArguments>();
  app->description(
      "Shows networks, recipes and devices; without options lists all of them, and which\npictures can be read.");
  app->add_option("--model", arguments->model, "layers, shapes, parameters, FLOPs and lowered operations of a network")
      ->type_name("NAME|FILE");
  app->add_option("--classes", arguments->classes, "classes to bind the network to [10]")
      ->check(CLI::Range(1, 100000))
      ->type_name("N");
  app->add_option("--channels", arguments->channels, "channels of the images [3]")
      ->check(CLI::IsMember({1, 3}))
      ->type_name("1|3");
  app->add_option("--recipe", arguments->recipe, "a recipe with every setting, to save and change")
      ->type_name("NAME|FILE");
  app->add_flag("--models", arguments->models, "list the networks");
  app->add_flag("--recipes", arguments->recipes, "list the recipes");
  app->add_flag("--devices", arguments->devices, "list the devices and say why others cannot be used");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace convoy
