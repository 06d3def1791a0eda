// What the runs of a process share whatever their seed: device, communicator, data, network. Loaded once.
#pragma once

#include <memory>

#include "convoy/communicator.hpp"
#include "data/dataset.hpp"
#include "train/devices.hpp"
#include "train/run_config.hpp"
#include "train/run_context.hpp"
#include "train/step.hpp"
#include "train/world.hpp"

namespace convoy {

struct RunInputs {
  // All workers call it. Throws UsageError or Error where configuration and data cannot work.
  RunInputs(RunConfig asked, Communicator& workers, RunContext& context);

  Backend& backend() const { return *device.backend; }

  RunConfig config;  // as asked, and what device and network decided
  ChosenDevice device;
  std::unique_ptr<Communicator> between_devices;  // null: the workers' own reduces the device's arenas
  Communicator& communicator;
  World world;
  Dataset data;  // of the test images those that are evaluated
  Model model;

 private:
  void note_device(RunContext& context) const;
  void load(Communicator& workers, RunContext& context);
};

}  // namespace convoy
