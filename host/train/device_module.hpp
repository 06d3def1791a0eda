// Opens a device's shared library: beside the executable, one folder above it, or in ../lib/convoy of an installation.
#pragma once

#include <string>
#include <string_view>

#include "convoy/device_module.hpp"

namespace convoy {

struct OpenedModule {
  const DeviceModule* module = nullptr;  // null where it cannot be used; never closed again
  std::string reason;                    // why, in a few words
};

// `name`: "cuda". Looks once; later calls answer the same.
const OpenedModule& open_device_module(std::string_view name);

}  // namespace convoy
