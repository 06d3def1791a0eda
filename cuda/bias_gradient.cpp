// See bias_gradient.hpp.
#include "bias_gradient.hpp"

#include "check.hpp"
#include "kernels/bias_gradient.hpp"

namespace convoy::cuda {

BiasGradient::BiasGradient(std::int64_t rows, int channels, const Context& context)
    : rows_(rows), channels_(channels), type_(context.compute), stream_(context.stream) {
  const BiasGradientArgs args{.type = type_, .rows = rows_, .channels = channels_};
  workspace_bytes_ = bias_gradient_workspace(args);
  const std::size_t bytes = bias_gradient_counters(args) * sizeof(unsigned);
  counters_ = allocate_memory(bytes);
  CHECK_CUDA(cudaMemsetAsync(counters_.get(), 0, bytes, stream_));
}

void BiasGradient::run(const void* output_gradient, void* workspace, float* gradient) const {
  bias_gradient({.type = type_,
                 .rows = rows_,
                 .channels = channels_,
                 .output_gradient = output_gradient,
                 .workspace = workspace,
                 .counters = static_cast<unsigned*>(counters_.get()),
                 .bias_gradient = gradient},
                stream_);
}

}  // namespace convoy::cuda
