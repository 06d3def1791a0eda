// Signs of a GPU are looked for on purpose: a job that silently trains on the CPU wastes its allocation.
#include "train/devices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "convoy/error.hpp"
#include "cpu/backend.hpp"
#include "train/agreement.hpp"
#include "train/device_module.hpp"

namespace convoy {
namespace {

std::unique_ptr<Backend> make_cpu(const DeviceRequest& request) {
  return make_cpu_backend({request.precision, request.threads});
}

// Through the module that the executable opens at run time.
std::string cuda_missing() {
  const auto& [module, reason] = open_device_module("cuda");
  return module == nullptr ? reason : module->missing();
}
std::string cuda_lacks(Precision precision) {
  const std::string missing = cuda_missing();
  return missing.empty() ? open_device_module("cuda").module->lacks(precision) : missing;
}
std::unique_ptr<Backend> make_cuda(const DeviceRequest& request) {
  const auto& [module, reason] = open_device_module("cuda");
  if (module == nullptr) fail_usage("--device cuda: {}", reason);
  return module->make(request);
}
std::vector<std::string> describe_cuda() { return open_device_module("cuda").module->describe(); }

std::unique_ptr<Communicator> connect_cuda(Communicator& workers, Backend& backend, const ConnectRequest& request) {
  return open_device_module("cuda").module->connect(workers, backend, request);
}
int cuda_count() { return open_device_module("cuda").module->count(); }

constexpr double kForEver = 1e9;  // seconds

constexpr BackendRow kBackends[] = {
    {DeviceChoice::cuda, "cuda", cuda_missing, cuda_lacks, make_cuda, describe_cuda, cuda_count, connect_cuda},
    {DeviceChoice::cpu, "cpu", cpu_missing, cpu_lacks, make_cpu, nullptr, nullptr, nullptr},
};

// What makes one expect a GPU on this machine or in this job; empty where nothing does.
std::string sign_of_gpu() {
  for (const char* path : {"/dev/nvidia0", "/proc/driver/nvidia/version"}) {
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return fmt::format("{} is here", path);
  }
  for (const char* variable : {"SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "CUDA_VISIBLE_DEVICES"}) {
    const char* value = std::getenv(variable);
    const std::string_view text = value == nullptr ? "" : value;
    const bool is_none = text.empty() || text == "-1" || text == "NoDevFiles";
    if (!is_none) return fmt::format("{}={} is set", variable, text);
  }
  return "";
}

const BackendRow& row_for(const RunConfig& config, std::string& reason, std::vector<std::string>& warnings) {
  const bool is_automatic = config.device == DeviceChoice::automatic;
  std::vector<std::string> passed_over;
  for (const BackendRow& row : backends()) {
    if (!is_automatic && row.choice != config.device) continue;
    const std::string missing = row.missing();
    if (missing.empty()) {
      reason = is_automatic ? "--device auto" : "as asked";
      if (!passed_over.empty()) reason += fmt::format("; {}", fmt::join(passed_over, "; "));
      const std::string sign = sign_of_gpu();
      if (is_automatic && row.choice == DeviceChoice::cpu && !sign.empty()) {
        warnings.push_back(fmt::format("warning: trains on the CPU although {}: {}; --device cpu silences this", sign,
                                       fmt::join(passed_over, "; ")));
      }
      return row;
    }
    if (!is_automatic) {
      fail_usage("--device {}: {}; use --device {}", row.name, missing,
                 row.choice == DeviceChoice::cpu ? "cuda" : "cpu");
    }
    passed_over.push_back(fmt::format("no {}: {}", row.name, missing));
  }
  fail("no device can be used: {}", fmt::join(passed_over, "; "));
}

}  // namespace

std::span<const BackendRow> backends() { return kBackends; }

ChosenDevice choose_device(RunConfig& config, int local_worker) {
  ChosenDevice chosen;
  std::string reason;
  const BackendRow& row = row_for(config, reason, chosen.warnings);
  const bool is_from_command_line = config.is_from_command_line("precision");
  const std::string lacks = row.lacks(config.precision);
  std::string precision_reason = is_from_command_line                    ? "as asked"
                                 : config.origins.count("precision") > 0 ? "recipe"
                                                                         : "default";
  if (!lacks.empty()) {
    const std::string_view asked = name(config.precision);
    if (is_from_command_line) fail_usage("--precision {}: {}; use --precision fp32", asked, lacks);
    precision_reason = fmt::format("recipe asks for {}: {}", asked, lacks);
    config.precision = Precision::fp32;
  }
  config.device = row.choice;
  chosen.backend = row.make({.precision = config.precision,
                             .threads = config.threads,
                             .index = row.count == nullptr ? 0 : local_worker % row.count(),
                             .deterministic = config.deterministic,
                             .autotune = config.autotune,
                             .has_device_alone = config.averaging.delay == 0,
                             .graph = config.graph});
  config.threads = chosen.backend->info().threads;
  chosen.line = fmt::format("device: {} [{}]; precision: {} [{}]", describe(chosen.backend->info()), reason,
                            name(config.precision), precision_reason);
  return chosen;
}

int workers_of_process(const RunConfig& config) {
  if (config.gpus_per_process == 1) return 1;
  const std::string missing = config.device == DeviceChoice::cpu ? "--device cpu" : cuda_missing();
  if (!missing.empty()) fail_usage("--gpus-per-process: no GPU to share out: {}", missing);
  const int visible = cuda_count();
  if (config.gpus_per_process > visible) {
    fail_usage("--gpus-per-process {}: {} GPU{} visible (CUDA_VISIBLE_DEVICES says which)", config.gpus_per_process,
               visible, visible == 1 ? " is" : "s are");
  }
  return config.gpus_per_process == 0 ? visible : config.gpus_per_process;
}

std::unique_ptr<Communicator> connect_devices(Communicator& workers, Backend& backend, const RunConfig& config,
                                              RankProgress& progress) {
  const auto row = std::ranges::find(kBackends, config.device, &BackendRow::choice);
  // Each worker has chosen for itself, and each kind's next collectives are others.
  const Agreed kind[] = {{"device (where --device auto finds no GPU, --device cuda says why)", std::string(row->name)}};
  agree(workers, kind);
  if (row->connect == nullptr) return nullptr;
  if (workers.size() == 1) return make_self_communicator();
  std::unique_ptr<Communicator> between =
      row->connect(workers, backend,
                   {.limit_seconds = config.startup_timeout > 0 ? config.startup_timeout : kForEver,
                    .graph_collectives = config.graph_collectives});
  progress.follow(between->device_mark());
  return between;
}

std::string describe(const DeviceInfo& info) {
  return fmt::format("{} ({}, {} thread{}, {})", info.kind, info.name, info.threads, info.threads == 1 ? "" : "s",
                     info.libraries);
}

}  // namespace convoy
