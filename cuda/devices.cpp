// See devices.hpp.
#include "devices.hpp"

#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <fmt/format.h>

namespace convoy::cuda {
namespace {

constexpr int kOldestCapability = 80;  // bf16 and TF32 tensor cores: Ampere
constexpr std::size_t kOldestCudnn = 90100;

// "13.0" of 13000.
std::string text_of_version(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

cudaDeviceProp properties_of(int device) {
  cudaDeviceProp properties{};
  cudaGetDeviceProperties(&properties, device);
  return properties;
}

}  // namespace

std::string runtime_version() {
  int runtime = 0;
  cudaRuntimeGetVersion(&runtime);
  return text_of_version(runtime);
}

std::string cudnn_version() {
  const std::size_t version = cudnnGetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

int visible_devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();  // forget it: a later call must not report it
    return 0;
  }
  return count;
}

std::string missing() {
  int driver = 0, runtime = 0, count = 0;
  cudaRuntimeGetVersion(&runtime);
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver is loaded";
  if (driver / 1000 < runtime / 1000) {
    return fmt::format(
        "the driver knows CUDA {}, this build needs {}: update the driver or build with an older toolkit",
        text_of_version(driver), text_of_version(runtime));
  }
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess || count == 0) {
    cudaGetLastError();
    return fmt::format("no GPU is visible ({})", status == cudaSuccess ? "none found" : cudaGetErrorString(status));
  }
  const cudaDeviceProp first = properties_of(0);
  if (first.major * 10 + first.minor < kOldestCapability) {
    return fmt::format("{} has compute capability {}.{}, at least {}.{} is needed", first.name, first.major,
                       first.minor, kOldestCapability / 10, kOldestCapability % 10);
  }
  if (cudnnGetVersion() < kOldestCudnn) {
    return fmt::format("cuDNN {} is loaded, at least 9.1 is needed", cudnnGetVersion());
  }
  if (cudnnGetCudartVersion() / 1000 != static_cast<std::size_t>(runtime) / 1000) {
    return fmt::format("cuDNN is made for CUDA {}, the runtime is of CUDA {}: install the cuDNN of that major version",
                       cudnnGetCudartVersion() / 1000, runtime / 1000);
  }
  return "";
}

// From Ampere on every GPU knows all four.
std::string lacks(Precision) { return ""; }

std::vector<std::string> describe_devices() {
  std::vector<std::string> lines;
  const int count = visible_devices();
  for (int device = 0; device < count; ++device) {
    const cudaDeviceProp properties = properties_of(device);
    std::string line =
        fmt::format("GPU {}: {}, compute capability {}.{}, {:.0f} GiB, {} multiprocessors", device, properties.name,
                    properties.major, properties.minor, static_cast<double>(properties.totalGlobalMem) / (1 << 30),
                    properties.multiProcessorCount);
    std::vector<int> peers;
    for (int other = 0; other < count; ++other) {
      int reaches = 0;
      if (other != device && cudaDeviceCanAccessPeer(&reaches, device, other) == cudaSuccess && reaches != 0) {
        peers.push_back(other);
      }
    }
    if (!peers.empty()) line += fmt::format(", reaches GPU {} directly", fmt::join(peers, ", "));
    lines.push_back(line);
  }
  int driver = 0;
  cudaDriverGetVersion(&driver);
  lines.push_back(fmt::format("driver for CUDA {}, runtime {}, cuDNN {}", text_of_version(driver), runtime_version(),
                              cudnn_version()));
  return lines;
}

}  // namespace convoy::cuda
