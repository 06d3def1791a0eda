// What a shared library that brings a device gives to the executable, which opens it at run time: so one executable
// starts everywhere, and says in one line why a device cannot be used where it cannot.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"

namespace convoy {

// What a worker asks of a device.
struct DeviceRequest {
  Precision precision = Precision::fp32;
  int threads = 0;               // of a CPU; 0: every core that this process may use
  int index = 0;                 // among the visible devices of this kind
  bool deterministic = false;    // only algorithms that give the same bits each time
  bool autotune = false;         // choose among algorithms by measuring them
  bool has_device_alone = true;  // no average runs beside a step
  bool graph = true;             // replay what was recorded as one launch
};

// What the workers' devices are connected for.
struct ConnectRequest {
  double limit_seconds = 0;
  // Collectives within recorded steps where one process has several devices too. Whether that can hang is up to the
  // library: threads launch recordings that wait for each other.
  bool graph_collectives = false;
};

// One table of functions; none of them throws but `make` and `connect`.
struct DeviceModule {
  int interface_version = 0;        // kDeviceModuleVersion of the sources that it was built from
  std::string (*missing)();         // why no such device can be used here, in a few words; empty: one can
  std::string (*lacks)(Precision);  // why it cannot compute in this precision; empty: it can
  int (*count)();                   // visible devices
  std::unique_ptr<Backend> (*make)(const DeviceRequest&);
  // For arenas of `backend`, which this module made, and of the same on every other worker; all call it. `workers`
  // carries what they say to each other on the host, and outlives the result. Throws after `limit_seconds`.
  std::unique_ptr<Communicator> (*connect)(Communicator& workers, Backend& backend, const ConnectRequest&);
  std::vector<std::string> (*describe)();  // for `info --devices`: a line a device, then the libraries
};

// Raised whenever a type that crosses the border changes: backend.hpp, communicator.hpp and what they include.
constexpr int kDeviceModuleVersion = 8;

// The only symbol that a module exports.
constexpr const char* kDeviceModuleSymbol = "convoy_device_module";
using DeviceModuleFunction = const DeviceModule*();

}  // namespace convoy
