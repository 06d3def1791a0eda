#include "train/run_inputs.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "convoy/error.hpp"
#include "data/shared_dataset.hpp"
#include "io/host_info.hpp"
#include "train/picture_extent.hpp"

namespace convoy {
namespace {

// What in the environment changes how NCCL moves data; often empty.
std::string steering_line(const Communicator& communicator) {
  constexpr std::string_view kPrefixes[] = {"NCCL_"};
  const std::vector<std::string> set =
      communicator.kind() == "nccl" ? environment_of(kPrefixes) : std::vector<std::string>();
  return set.empty() ? "" : fmt::format("in force: {}", fmt::join(set, " "));
}

}  // namespace

RunInputs::RunInputs(RunConfig asked, Communicator& workers, RunContext& context)
    : config(std::move(asked)),
      device(choose_device(config, workers.split_by_host()->rank())),
      between_devices(connect_devices(workers, *device.backend, config, context.rank_progress())),
      communicator(between_devices ? *between_devices : workers),
      world{communicator.size(), config.virtual_ranks} {
  context.or_leave([&] {
    note_device(context);
    context.rank_progress().enter(Phase::reading_data);
    load(workers, context);
  });
}

void RunInputs::note_device(RunContext& context) const {
  context.note(device.line);
  for (const std::string& warning : device.warnings) context.note(warning);
  const std::string& advice = backend().info().advice;
  if (!advice.empty() && !config.is_from_command_line("precision")) context.note(advice);
  if (const std::string line = steering_line(communicator); !line.empty()) context.note(line);
  for (const std::string& warning : config_warnings(config)) context.note(warning);
  if (config.profile_steps.first > 0 && backend().info().kind == "cpu") {
    context.note("--profile-steps: nothing to tell a profiler of on the CPU; perf and the like see all of it");
  }
}

void RunInputs::load(Communicator& workers, RunContext& context) {
  Network network = load_network(config.model);
  SharedDataset shared = load_shared_dataset(
      {.path = config.data, .coarse_labels = config.labels == LabelKind::coarse, .pictures = pictures_for(network)},
      workers);
  data = std::move(shared.data);
  if (!shared.line.empty()) context.note(shared.line);
  for (const std::string& text : data.notes) context.note(text);
  CONVOY_CHECK(data.train.count() > 0, "{}: has no training images", data.origin);
  CONVOY_CHECK(data.test.count() > 0, "{}: has no test images", data.origin);
  if (config.test_images > 0) data.test.keep_first(static_cast<std::size_t>(config.test_images));
  model = make_model(std::move(network), data.classes(), data.train.image.channels);
  check_image(model.network, data.train.image);
  const int side = std::min(data.train.image.height, data.train.image.width);
  if (config.augmentation.translate >= side) {
    fail_usage("--translate {}: less than the images' {} pixels expected", config.augmentation.translate, side);
  }
  for (const std::string& text : match_groups(config, model.layout.groups)) context.note(text);
}

}  // namespace convoy
