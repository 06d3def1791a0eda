// The gradient of a bias as an operation plans it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "context.hpp"
#include "device_memory.hpp"

namespace convoy::cuda {

class BiasGradient {
 public:
  BiasGradient() = default;  // of an operation that trains no bias
  BiasGradient(std::int64_t rows, int channels, const Context& context);

  bool is_wanted() const { return channels_ > 0; }
  std::size_t workspace_bytes() const { return workspace_bytes_; }
  // output_gradient [rows, channels] in the compute type; bias_gradient [channels] is overwritten.
  void run(const void* output_gradient, void* workspace, float* bias_gradient) const;

 private:
  std::int64_t rows_ = 0;
  int channels_ = 0;
  DType type_ = DType::f32;
  cudaStream_t stream_ = nullptr;
  std::size_t workspace_bytes_ = 0;
  DeviceMemory counters_;
};

}  // namespace convoy::cuda
