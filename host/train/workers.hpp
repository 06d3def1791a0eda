// The workers of a run as a user sees them, and what they must have in common.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convoy/communicator.hpp"
#include "train/plan.hpp"
#include "train/run_config.hpp"
#include "train/step.hpp"
#include "train/world.hpp"

namespace convoy {

// One line a worker: ranks, host, device with threads, share of a step's images. All workers call it; the same text on
// each.
std::string workers_table(Communicator& communicator, const World& world, const RunConfig& config,
                          const DeviceInfo& device);

// What a step is, in one line: images over all ranks and a rank, steps an epoch, the rate in force.
std::string steps_line(const RunConfig& config, const World& world, const StepPlan& plan);

// Of every tensor's name, shape and place; hexadecimal.
std::string layout_checksum(const ParamLayout& layout);

// Program, configuration, data and layout are the same on all workers, or Error on each of them: what differs where.
void check_agreement(Communicator& communicator, const RunConfig& config, std::uint64_t data_checksum,
                     const ParamLayout& layout);

}  // namespace convoy
