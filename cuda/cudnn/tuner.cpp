// See tuner.hpp. One file a choice, so that ranks that tune at the same time never write into the same one unfinished.
#include "cudnn/tuner.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "convoy/error.hpp"
#include "device_memory.hpp"
#include "io/atomic_file.hpp"

namespace convoy::cuda::cudnn {
namespace {

namespace fs = std::filesystem;

constexpr int kRuns = 5;                                    // timed, after one to warm up; the shortest counts
constexpr std::size_t kLargestFile = std::size_t{1} << 20;  // a plan's text has a few thousand bytes

DeviceMemory zeros(std::size_t bytes) {
  DeviceMemory memory = allocate_memory(bytes);
  if (bytes != 0) CHECK_CUDA(cudaMemset(memory.get(), 0, bytes));
  return memory;
}

std::uint64_t hash(std::string_view text) {  // FNV-1a
  std::uint64_t value = 0xCBF29CE484222325u;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return value;
}

// All that a choice depends on.
std::string key_of(const Convolution& c, const Rules& rules) {
  int device = 0, driver = 0;
  cudaDeviceProp properties{};
  CHECK_CUDA(cudaGetDevice(&device));
  CHECK_CUDA(cudaGetDeviceProperties(&properties, device));
  CHECK_CUDA(cudaDriverGetVersion(&driver));
  return fmt::format(
      "{}; stride {}x{}, padding {},{},{},{}{}{}; {} bytes of workspace{}{}; {}, {}.{}, {}; cuDNN {}, driver {}",
      describe(c), c.stride.height, c.stride.width, c.padding.top, c.padding.bottom, c.padding.left, c.padding.right,
      c.bias ? ", bias" : "", c.relu ? ", relu" : "", rules.workspace_limit, rules.tf32 ? ", tf32" : "",
      rules.deterministic ? ", deterministic" : "", properties.name, properties.major, properties.minor,
      properties.multiProcessorCount, cudnnGetVersion(), driver);
}

std::size_t fastest(std::vector<Plan>& plans, const Convolution& c, cudnnHandle_t handle) {
  const std::size_t element = bytes_per_element(c.type);
  const auto elements = [&](const Extent& extent) { return static_cast<std::size_t>(c.batch * extent.elements()); };
  const DeviceMemory input = zeros(elements(c.input) * element), output = zeros(elements(c.output) * element);
  const DeviceMemory filters = zeros(element * c.output.channels * c.input.channels * c.kernel.height * c.kernel.width);
  const DeviceMemory bias = zeros(element * c.output.channels);
  std::size_t workspace_bytes = 0;
  for (const Plan& plan : plans) workspace_bytes = std::max(workspace_bytes, plan.workspace_bytes());
  const DeviceMemory workspace = zeros(workspace_bytes);
  const Tensors tensors = {input.get(), filters.get(), output.get(), bias.get()};

  cudaStream_t stream = nullptr;
  CHECK_CUDNN(cudnnGetStream(handle, &stream));
  cudaEvent_t made[2] = {};
  CHECK_CUDA(cudaEventCreate(&made[0]));
  const Event begin(made[0]);
  CHECK_CUDA(cudaEventCreate(&made[1]));
  const Event end(made[1]);
  std::size_t best = 0;
  float best_time = std::numeric_limits<float>::infinity();
  CHECK_CUDA(cudaDeviceSynchronize());  // the memory has been zeroed on another stream
  for (std::size_t i = 0; i < plans.size(); ++i) {
    plans[i].execute(handle, tensors, workspace.get());
    for (int run = 0; run < kRuns; ++run) {
      CHECK_CUDA(cudaEventRecord(begin.get(), stream));
      plans[i].execute(handle, tensors, workspace.get());
      CHECK_CUDA(cudaEventRecord(end.get(), stream));
      CHECK_CUDA(cudaEventSynchronize(end.get()));
      float time = 0;
      CHECK_CUDA(cudaEventElapsedTime(&time, begin.get(), end.get()));
      if (time < best_time) best_time = time, best = i;
    }
  }
  return best;
}

// The file's first line is the key, so that two keys of one hash cannot be mistaken.
std::optional<Plan> remembered(const fs::path& file, const std::string& key, const Convolution& convolution,
                               const Target& target) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return std::nullopt;
  try {
    const auto bytes = read_file(file, kLargestFile);
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (!text.starts_with(key + "\n")) return std::nullopt;
    return Plan::from_text(text.substr(key.size() + 1), convolution, target);
  } catch (const Error&) {
    return std::nullopt;
  }
}

void remember(const fs::path& file, const std::string& key, const Plan& plan) {
  try {
    std::error_code ignored;
    fs::create_directories(file.parent_path(), ignored);
    write_file_atomically(file, key + "\n" + plan.text());
  } catch (const Error&) {
    return;  // a full or read-only home must not stop a run
  }
}

}  // namespace

fs::path plan_folder() {
  const char* ours = std::getenv("CONVOY_CACHE");
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (ours != nullptr && *ours != '\0') return fs::path(ours) / "plans";
  if (cache != nullptr && *cache != '\0') return fs::path(cache) / "convoy" / "plans";
  if (home != nullptr && *home != '\0') return fs::path(home) / ".cache" / "convoy" / "plans";
  return {};
}

Plan fastest_plan(const Convolution& convolution, const Rules& rules, cudnnHandle_t handle, const fs::path& folder) {
  const Target target(handle);
  const std::string key = key_of(convolution, rules);
  const fs::path file = folder.empty() ? fs::path() : folder / fmt::format("{:016x}.plan", hash(key));
  if (!folder.empty()) {
    if (auto plan = remembered(file, key, convolution, target)) return std::move(*plan);
  }
  std::vector<Plan> plans = Plan::candidates(convolution, rules, target, kCandidates);
  Plan best = std::move(plans[plans.size() == 1 ? 0 : fastest(plans, convolution, handle)]);
  if (!folder.empty()) remember(file, key, best);
  return best;
}

}  // namespace convoy::cuda::cudnn
