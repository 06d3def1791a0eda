// convoy data: what lies at a path, and a picture of it.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>

#include "cli/command.hpp"
#include "convoy/error.hpp"
#include "data/describe.hpp"
#include "data/load.hpp"
#include "data/picture.hpp"

namespace convoy {
namespace {

struct DataArguments {
  std::string path, option_path, picture;
  std::string labels = "fine";
  std::optional<int> size;  // else 32
};

int run(const DataArguments& arguments) {
  if (!arguments.path.empty() && !arguments.option_path.empty()) {
    fail_usage("two data sets, {} and --data {}: name one", arguments.path, arguments.option_path);
  }
  LoadOptions options;
  options.path = data_or_found(arguments.path.empty() ? arguments.option_path : arguments.path);
  options.coarse_labels = arguments.labels == "coarse";
  const int size = arguments.size.value_or(options.pictures.height);
  options.pictures = {size, size, 0};
  reject_overwriting("--picture", arguments.picture, "the data file", options.path);
  const Dataset data = load_dataset(options);
  if (const Extent& image = data.train.image; arguments.size && (image.height != size || image.width != size)) {
    fail_usage(
        "--size {}: {} has images of {}x{}, and only pictures of a folder and synthetic ones are brought to a size",
        size, options.path, image.height, image.width);
  }
  for (const std::string& note : data.notes) fmt::print("{}\n", note);
  fmt::print("{}", to_text(describe(data)));
  if (!arguments.picture.empty()) {
    write_contact_sheet(data, arguments.picture);
    fmt::print("picture: {}\n", arguments.picture);
  }
  return 0;
}

}  // namespace

Command add_data(CLI::App& program, const CommandContext&) {
  CLI::App* app = add_command(program, "data", "describe a data set: counts, classes, mean and deviation, checksum",
                              "  convoy data /usr/share/datasets/fashion-mnist\n"
                              "  convoy data cifar-10-binary.tar.gz --picture sheet.png");
  const auto arguments = std::make_shared<DataArguments>();
  app->description(
      "Describes a data set: counts, classes, mean and deviation of each channel, checksum.\n"
      "Formats are told by content: CIFAR-10 and CIFAR-100 (binary or Python, folder, file or .tar.gz),\n"
      "IDX (MNIST, Fashion-MNIST; plain or .gz), a folder of pictures (train/CLASS/*.png|jpg, test/CLASS/...),\n"
      "synthetic[:COUNT].");
  app->add_option("path", arguments->path, "folder, archive, file, or synthetic[:COUNT]")->type_name("PATH");
  app->add_option("--data", arguments->option_path, "the same, as the other commands name it")->type_name("PATH");
  app->add_option("--picture", arguments->picture, "write a contact sheet of labelled pictures (PNG)")
      ->type_name("FILE");
  app->add_option("--size", arguments->size, "what pictures of a folder, and synthetic ones, are brought to [32]")
      ->check(CLI::Range(1, 256))
      ->type_name("PIXELS");
  app->add_option("--labels", arguments->labels, "which labels of CIFAR-100")
      ->check(CLI::IsMember({"fine", "coarse"}))
      ->type_name("fine|coarse");
  return {app, [arguments] { return run(*arguments); }};
}

}  // namespace convoy
