// Sums per sample in the kernels, then over the samples in their order.
#include "cpu/bias_sums.hpp"

namespace convoy::cpu {

std::size_t bias_sums_workspace(int batch, const Layout& layout) {
  return static_cast<std::size_t>(batch) * layout.blocks * layout.block * sizeof(float);
}

void bias_sums(const void* gradient, int batch, const Layout& layout, void* workspace, float* sums,
               const Context& context) {
  const std::int64_t width = std::int64_t{layout.blocks} * layout.block;
  auto* partial = static_cast<float*>(workspace);  // [batch, width]
  const std::size_t sample_bytes = layout.sample_elements() * bytes_per_element(context.compute);
#pragma omp parallel for schedule(static) num_threads(context.threads)
  for (int sample = 0; sample < batch; ++sample) {
    const auto* from = static_cast<const std::byte*>(gradient) + sample * sample_bytes;
    for (int block = 0; block < layout.blocks; ++block) {
      const std::int64_t first = block * layout.pixels() * layout.block;
      float* to = partial + sample * width + block * layout.block;
      if (context.compute == DType::f32) {
        context.kernels->arena.column_sums_f32(reinterpret_cast<const float*>(from) + first, layout.pixels(),
                                               layout.block, to);
      } else {
        context.kernels->arena.column_sums_bf16(reinterpret_cast<const std::uint16_t*>(from) + first, layout.pixels(),
                                                layout.block, to);
      }
    }
  }
  for (int channel = 0; channel < layout.channels; ++channel) {
    double sum = 0;
    for (int sample = 0; sample < batch; ++sample) sum += partial[sample * width + channel];
    sums[channel] = static_cast<float>(sum);
  }
}

}  // namespace convoy::cpu
