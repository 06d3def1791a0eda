// See device_module.hpp.
#include "train/device_module.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <mutex>

namespace convoy {
namespace {

namespace fs = std::filesystem;

fs::path find_module(std::string_view name) {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  const std::string file = fmt::format("libconvoy_{}.so", name);
  for (const fs::path& place : {folder, folder.parent_path(), folder.parent_path() / "lib" / "convoy"}) {
    if (fs::exists(place / file, error)) return place / file;
  }
  return {};
}

OpenedModule open_module(std::string_view name) {
  const fs::path file = find_module(name);
  if (file.empty()) return {nullptr, fmt::format("this build has no {} backend", name == "cuda" ? "CUDA" : name)};
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* missing = dlerror();
    return {nullptr, fmt::format("{}: load the modules that this was built with, or put that library's folder into "
                                 "LD_LIBRARY_PATH",
                                 missing)};
  }
  auto* function = reinterpret_cast<DeviceModuleFunction*>(dlsym(library, kDeviceModuleSymbol));
  const DeviceModule* module = function == nullptr ? nullptr : function();
  if (module == nullptr || module->interface_version != kDeviceModuleVersion) {
    return {nullptr, fmt::format("{} is of another build", file.string())};
  }
  return {module, ""};
}

}  // namespace

const OpenedModule& open_device_module(std::string_view name) {
  static std::mutex mutex;
  static std::map<std::string, OpenedModule, std::less<>> opened;
  const std::lock_guard lock(mutex);
  const auto found = opened.find(name);
  return found != opened.end() ? found->second : opened.emplace(name, open_module(name)).first->second;
}

}  // namespace convoy
