// convoy export: a weights file in a format of other programs.
#include <fmt/format.h>

#include <memory>

#include "cli/command.hpp"
#include "convoy/error.hpp"
#include "io/atomic_file.hpp"
#include "nn/onnx.hpp"
#include "train/weights_file.hpp"

namespace convoy {
namespace {

struct ExportArguments {
  std::string weights, onnx;
};

int run(const ExportArguments& arguments) {
  if (arguments.weights.empty()) fail_usage("--weights FILE is missing: a run's folder holds weights.safetensors");
  if (arguments.onnx.empty()) fail_usage("--onnx FILE is missing: where the network goes");
  reject_overwriting("--onnx", arguments.onnx, "the --weights file", arguments.weights);
  const LoadedWeights loaded = open_weights(arguments.weights);
  const WeightsInfo& info = info_of(loaded);
  const auto channels = static_cast<int>(info.mean.size());
  const Model model =
      make_model(parse_network(info.network, arguments.weights), static_cast<int>(info.class_names.size()), channels);
  read_weights(loaded, model.layout);  // throws where a tensor is missing or of another shape
  write_file_atomically(arguments.onnx, onnx_model({.network = model.network,
                                                    .shapes = model.shapes,
                                                    .layout = model.layout,
                                                    .weights = loaded.file,
                                                    .mean = info.mean,
                                                    .deviation = info.deviation,
                                                    .class_names = info.class_names}));
  const Extent& input = model.shapes.input;
  fmt::print("{}: images [N, {}, {}, {}], float, pixels in 0..1 -> logits [N, {}]\n", arguments.onnx, channels,
             input.height, input.width, model.shapes.classes);
  return static_cast<int>(ExitCode::done);
}

}  // namespace

Command add_export(CLI::App& program, const CommandContext&) {
  CLI::App* app = add_command(program, "export", "write a trained network as ONNX",
                              "  convoy export --weights runs/first/weights.safetensors --onnx first.onnx\n"
                              "  convoy export --weights runs/second/weights.safetensors --onnx second.onnx");
  const auto arguments = std::make_shared<ExportArguments>();
  app->description(
      "Writes a trained network for other programs. The ONNX model takes `images`, float [N, channels, height, width]\n"
      "with pixels in 0..1, normalises them itself, and gives `logits` [N, classes] of the image as it is: views,\n"
      "which --views averages over, are not part of it.");
  app->add_option("--weights", arguments->weights, "a run's weights.safetensors")->type_name("FILE");
  app->add_option("--onnx", arguments->onnx, "the file to write")->type_name("FILE");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace convoy
