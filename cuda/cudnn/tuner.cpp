#include "cudnn/tuner.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "convoy/error.hpp"
#include "device_memory.hpp"
#include "event.hpp"

namespace convoy::cuda::cudnn {
namespace {

constexpr int kRuns = 3;    // timed, after one to warm up; the shortest counts
constexpr int kInARow = 5;  // calls of a run: the device is not to wait for the host, which it does not in a graph

DeviceMemory zeros(std::size_t bytes) {
  DeviceMemory memory = allocate_memory(bytes);
  if (bytes != 0) CHECK_CUDA(cudaMemset(memory.get(), 0, bytes));
  return memory;
}

// Nothing where a plan does not run after all.
std::optional<float> milliseconds(Plan& plan, cudnnHandle_t handle, const Tensors& tensors, void* workspace) {
  cudaStream_t stream = nullptr;
  CHECK_CUDNN(cudnnGetStream(handle, &stream));
  const Event begin = make_event(), end = make_event();
  if (plan.try_execute(handle, tensors, workspace) != CUDNN_STATUS_SUCCESS) return std::nullopt;
  float best = std::numeric_limits<float>::infinity();
  for (int run = 0; run < kRuns; ++run) {
    CHECK_CUDA(cudaEventRecord(begin.get(), stream));
    for (int call = 0; call < kInARow; ++call) plan.execute(handle, tensors, workspace);
    CHECK_CUDA(cudaEventRecord(end.get(), stream));
    CHECK_CUDA(cudaEventSynchronize(end.get()));
    float time = 0;
    CHECK_CUDA(cudaEventElapsedTime(&time, begin.get(), end.get()));
    best = std::min(best, time);
  }
  return best;
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

  std::optional<std::size_t> best;
  float best_time = std::numeric_limits<float>::infinity();
  CHECK_CUDA(cudaDeviceSynchronize());  // the memory has been zeroed on another stream
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const std::optional<float> time = milliseconds(plans[i], handle, tensors, workspace.get());
    if (time && *time < best_time) best_time = *time, best = i;
  }
  CONVOY_CHECK(best.has_value(), "{}: of {} plans that cuDNN accepts none runs", describe(c), plans.size());
  return *best;
}

}  // namespace

Plan fastest_plan(const Convolution& convolution, const Rules& rules, cudnnHandle_t handle) {
  std::vector<Plan> plans = Plan::candidates(convolution, rules, Target(handle), kCandidates);
  return std::move(plans[plans.size() == 1 ? 0 : fastest(plans, convolution, handle)]);
}

}  // namespace convoy::cuda::cudnn
