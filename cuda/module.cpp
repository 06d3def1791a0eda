// The one symbol that the executable looks up in this module.
#include "backend.hpp"
#include "convoy/device_module.hpp"
#include "devices.hpp"

extern "C" __attribute__((visibility("default"))) const convoy::DeviceModule* convoy_device_module() {
  static const convoy::DeviceModule module = {.interface_version = convoy::kDeviceModuleVersion,
                                              .missing = convoy::cuda::missing,
                                              .lacks = convoy::cuda::lacks,
                                              .count = convoy::cuda::visible_devices,
                                              .make = convoy::cuda::make_backend,
                                              .connect = convoy::cuda::connect,
                                              .describe = convoy::cuda::describe_devices};
  return &module;
}
