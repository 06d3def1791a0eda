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

namespace convoy {

struct BackendRow {
  DeviceChoice choice;
  std::string_view name;            // "cpu"
  std::string (*missing)();         // why it cannot be used here, in a few words; empty: it can
  std::string (*lacks)(Precision);  // why it cannot compute in this precision; empty: it can
  std::unique_ptr<Backend> (*make)(const DeviceRequest&);
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
ChosenDevice choose_device(RunConfig& config);

// "cpu (AMD EPYC 7763, 2 threads, oneDNN 2.6.3 (avx2))"
std::string describe(const DeviceInfo& info);

}  // namespace convoy
