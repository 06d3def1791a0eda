// The explicit list of backends, and which of them a run gets, in which precision, and why.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/device_module.hpp"
#include "train/run_config.hpp"
#include "watchdog/progress.hpp"

namespace convoy {

struct BackendRow {
  DeviceChoice choice;
  std::string_view name;            // "cpu"
  std::string (*missing)();         // why it cannot be used here, in a few words; empty: it can
  std::string (*lacks)(Precision);  // why it cannot compute in this precision; empty: it can
  std::unique_ptr<Backend> (*make)(const DeviceRequest&);
  std::vector<std::string> (*describe)();  // see DeviceModule; null: what make gives says it all
  int (*count)();                          // of devices that workers of one host share out; null: one is there for all
  // See DeviceModule; null: the workers' own communicator reduces its arenas.
  std::unique_ptr<Communicator> (*connect)(Communicator& workers, Backend& backend, const ConnectRequest&);
};

// In the order in which --device auto prefers them. A new backend is a row here.
std::span<const BackendRow> backends();

struct ChosenDevice {
  std::unique_ptr<Backend> backend;
  std::string line;                   // the first line of a run: device and precision and why
  std::vector<std::string> warnings;  // e.g. a GPU that auto could not use
};

// Makes the backend that the configuration asks for, and writes what was decided into `config`: device, precision,
// threads. A precision of a recipe that the device lacks falls back to fp32; one of the command line throws.
// `local_worker`: this worker's number among those of its host, each of which gets a device of its own.
ChosenDevice choose_device(RunConfig& config, int local_worker = 0);

// How many workers this process holds, as --gpus-per-process says. Throws UsageError where fewer GPUs are visible.
int workers_of_process(const RunConfig& config);

// What reduces arenas of the chosen device; null where the workers' own communicator does. All workers call it. Throws
// Error, on every worker, where their devices are of several kinds.
// `progress` follows how far the device comes with collectives.
std::unique_ptr<Communicator> connect_devices(Communicator& workers, Backend& backend, const RunConfig& config,
                                              RankProgress& progress);

// "cpu (AMD EPYC 7763, 2 threads, oneDNN 2.6.3 (avx2))"
std::string describe(const DeviceInfo& info);

}  // namespace convoy
