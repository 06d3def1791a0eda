// The backward passes of what follows a convolution: the sums of the gradient before the activation in one pass, the
// normalisation's gradient, scattered to the pooled windows' maxima, in another. That gradient is made twice: this
// moves fewer bytes than keeping it, and it is never rounded to the compute type.
#include "kernels/epilogue_parts.hpp"

namespace convoy::cuda {
namespace {

constexpr int kAhead = 2;  // rows of a thread on their way at once; the input's gradient may be the output's memory

// g of one row: the gradient before the activation. `centred` is x - mean.
template <typename T, int kCount>
__device__ inline void gradient_before(Activation activation, bool has_source, const Access<T, kCount>& source,
                                       const float (&centred)[kCount], const float (&factor)[kCount],
                                       const float (&shift)[kCount], float (&gradient)[kCount]) {
  if (activation == Activation::none) return;
  float before[kCount];
  if (!has_source) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) before[i] = fmaf(centred[i], factor[i], shift[i]);
  } else {
    widen(source, before);
  }
  multiply_by_derivative(activation, before, gradient);
}

template <int kCount>
__device__ void finish_sums(const EpilogueArgs& args, const Cover& cover, PartSums<2>& sums) {
  const auto* part_sums = static_cast<const float2*>(args.workspace);  // sums of g and of g (x - mean)
  const int width = cover.columns * kCount;
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  const int channel = static_cast<int>(blockIdx.y) * width + thread % width;
  const int valid = valid_samples(args), groups = divided_up(valid, args.shape.group_size);
  double scale_gradient = 0, shift_gradient = 0;
  for (int group = 0; group < groups; ++group) {
    const Rows rows = rows_of_group(args.shape, valid, group);
    const int count = rows.valid_end - rows.first;
    const int parts = channel < args.shape.channels ? divided_up(count, rows_of_part(cover, count)) : 0;
    const float2* first = part_sums + std::int64_t{group} * cover.parts * args.shape.channels + channel;
    double total[2];
    const bool is_mine = sums.add(width, parts, total, [&](int part, double(&sum)[2]) {
      const float2 values = __ldcg(first + std::int64_t{part} * args.shape.channels);
      sum[0] += values.x;
      sum[1] += values.y;
    });
    if (!is_mine || parts == 0) continue;
    shift_gradient += total[0];
    if (args.mean == nullptr) continue;
    const std::int64_t at = std::int64_t{group} * args.shape.channels + channel;
    const double inverse = args.inverse_deviation[at], factor = args.factor[at];
    args.slope[at] = static_cast<float>(-factor * inverse * inverse * total[1] / count);
    args.offset[at] = static_cast<float>(-factor * total[0] / count);
    scale_gradient += inverse * total[1];
  }
  if (thread >= width || channel >= args.shape.channels) return;
  if (args.scale_gradient != nullptr) args.scale_gradient[channel] = static_cast<float>(scale_gradient);
  if (args.shift_gradient != nullptr) args.shift_gradient[channel] = static_cast<float>(shift_gradient);
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads, 2) backward_sums_kernel(const EpilogueArgs args, const Cover given) {
  __shared__ BlockSums<2 * kCount> sums;
  __shared__ PartSums<2> part_sums;
  __shared__ TileFactors<3, kCount> factors;
  const EpilogueShape shape = in_registers(args.shape);
  const Cover cover = in_registers(given);
  const void *const input = args.input, *const sources = args.source, *const output_gradient = args.output_gradient;
  const Activation activation = args.activation;
  auto* const workspace = static_cast<float2*>(args.workspace);
  const Place place = place_of<kCount>(cover);
  const Rows group = rows_of_group(shape, valid_samples(args), place.group);
  const Rows rows = part_of(cover, place.part, group.first, group.valid_end - group.first);
  const bool has_channel = place.channel < shape.channels;
  if (rows.first < rows.end) {
    factors.fill(cover, shape.channels, [&](int channel, float(&numbers)[3]) {
      const std::int64_t at = std::int64_t{place.group} * shape.channels + channel;
      numbers[0] = args.mean == nullptr ? 0.0F : args.mean[at];
      numbers[1] = args.mean == nullptr ? 1.0F : args.factor[at];
      numbers[2] = args.shift == nullptr ? 0.0F : args.shift[channel];
    });
    float values[2 * kCount] = {};
    if (has_channel) {
      float mean[kCount], factor[kCount], shift[kCount];
      factors.get(0, mean);
      factors.get(1, factor);
      factors.get(2, shift);
      const std::int64_t stride = std::int64_t{cover.lines} * shape.channels;
      int row = rows.first + place.line;
      std::int64_t at = std::int64_t{row} * shape.channels + place.channel;
      for (; row < rows.end; row += kAhead * cover.lines, at += kAhead * stride) {
        Access<T, kCount> x[kAhead], gradients[kAhead], source[kAhead];
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
          if (row + i * cover.lines >= rows.end) continue;
          x[i] = read<T, kCount>(input, at + i * stride);
          gradients[i] = read<T, kCount>(output_gradient, at + i * stride);
          if (sources != nullptr) source[i] = read<T, kCount>(sources, at + i * stride);
        }
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
          if (row + i * cover.lines >= rows.end) continue;
          float gradient[kCount], centred[kCount];
          widen(x[i], centred);
          widen(gradients[i], gradient);
#pragma unroll
          for (int k = 0; k < kCount; ++k) centred[k] -= mean[k];
          gradient_before<T>(activation, sources != nullptr, source[i], centred, factor, shift, gradient);
#pragma unroll
          for (int k = 0; k < kCount; ++k) {
            values[k] += gradient[k];
            values[kCount + k] = fmaf(gradient[k], centred[k], values[kCount + k]);
          }
        }
      }
    }
    sums.add(cover, values);
    if (place.line == 0 && has_channel) {
      float2* to = workspace + std::int64_t{static_cast<int>(blockIdx.x)} * shape.channels;
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        to[place.channel + i] = make_float2(sums.totals[i * cover.columns + threadIdx.x],
                                            sums.totals[(kCount + i) * cover.columns + threadIdx.x]);
      }
    }
  }
  if (is_last_block(args.counters)) finish_sums<kCount>(args, cover, part_sums);
}

// Writes a pooled row's gradient to the maximum's place in its window and zero to the others, and to the pixels below
// and right of the last windows, which no window covers.
template <typename T, int kCount>
__device__ inline void scatter(const EpilogueShape& shape, void* input_gradient, int row, int channel,
                               const float (&gradient)[kCount], const Places<unsigned char, kCount>& places) {
  const Window window = window_of(shape, row);
  const int height = window.is_last_row ? shape.height - (shape.pooled_height - 1) * shape.pool : shape.pool;
  const int width = window.is_last_column ? shape.width - (shape.pooled_width - 1) * shape.pool : shape.pool;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int place = y < shape.pool && x < shape.pool ? y * shape.pool + x : -1;
      float values[kCount];
#pragma unroll
      for (int i = 0; i < kCount; ++i) values[i] = places.values[i] == place ? gradient[i] : 0.0F;
      write<T>(input_gradient, (window.pixel + std::int64_t{y} * shape.width + x) * shape.channels + channel, values);
    }
  }
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads, 2) backward_apply_kernel(const EpilogueArgs args, const Cover given) {
  __shared__ TileFactors<5, kCount> factors;
  const EpilogueShape shape = in_registers(args.shape);
  const Cover cover = in_registers(given);
  const void *const input = args.input, *const sources = args.source, *const output_gradient = args.output_gradient;
  const Activation activation = args.activation;
  const unsigned char* const argmax = args.argmax;
  void *const input_gradient = args.input_gradient, *const residual_gradient = args.residual_gradient;
  const Place place = place_of<kCount>(cover);
  const Rows group = rows_of_group(shape, valid_samples(args), place.group);
  const Rows rows = part_of(cover, place.part, group.first, group.end - group.first);
  const bool is_normalised = args.slope != nullptr;
  if (is_normalised && rows.first < group.valid_end) {
    factors.fill(cover, shape.channels, [&](int channel, float(&numbers)[5]) {
      const std::int64_t at = std::int64_t{place.group} * shape.channels + channel;
      numbers[0] = args.mean[at];
      numbers[1] = args.factor[at];
      numbers[2] = args.shift == nullptr ? 0.0F : args.shift[channel];
      numbers[3] = args.slope[at];
      numbers[4] = args.offset[at];
    });
  }
  if (place.channel >= shape.channels) return;
  float mean[kCount] = {}, factor[kCount] = {}, shift[kCount] = {}, slope[kCount] = {}, offset[kCount] = {};
  if (is_normalised) {
    factors.get(0, mean);
    factors.get(1, factor);
    factors.get(2, shift);
    factors.get(3, slope);
    factors.get(4, offset);
  }
  const bool pools = shape.pool > 1 && input_gradient != nullptr;
  const int valid_end = min(rows.end, group.valid_end);
  const auto element = [&](int of_row) { return std::int64_t{of_row} * shape.channels + place.channel; };
  int row = rows.first + place.line;
  for (; row < valid_end; row += kAhead * cover.lines) {
    Access<T, kCount> gradients[kAhead], x[kAhead], source[kAhead];
    Places<unsigned char, kCount> places[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int own = row + i * cover.lines;
      if (own >= valid_end) continue;
      gradients[i] = read<T, kCount>(output_gradient, element(own));
      if (is_normalised) x[i] = read<T, kCount>(input, element(own));
      if (sources != nullptr) source[i] = read<T, kCount>(sources, element(own));
      if (pools) places[i] = read_places<unsigned char, kCount>(argmax, element(own));
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int own = row + i * cover.lines;
      if (own >= valid_end) continue;
      float gradient[kCount], centred[kCount] = {};
      widen(gradients[i], gradient);
      if (is_normalised) {
        widen(x[i], centred);
#pragma unroll
        for (int k = 0; k < kCount; ++k) centred[k] -= mean[k];
      }
      gradient_before<T>(activation, sources != nullptr, source[i], centred, factor, shift, gradient);
      if (residual_gradient != nullptr) write<T>(residual_gradient, element(own), gradient);
      if (input_gradient == nullptr) continue;
      if (is_normalised) {
#pragma unroll
        for (int k = 0; k < kCount; ++k) {
          gradient[k] = fmaf(gradient[k], factor[k], fmaf(centred[k], slope[k], offset[k]));
        }
      }
      if (pools) {
        scatter<T>(shape, input_gradient, own, place.channel, gradient, places[i]);
      } else {
        write<T>(input_gradient, element(own), gradient);
      }
    }
  }
  for (row = first_from(rows.first + place.line, cover.lines, valid_end); row < rows.end; row += cover.lines) {
    const float zeros[kCount] = {};
    if (residual_gradient != nullptr) write<T>(residual_gradient, element(row), zeros);
    if (pools) {
      scatter<T>(shape, input_gradient, row, place.channel, zeros, Places<unsigned char, kCount>{});
    } else if (input_gradient != nullptr) {
      write<T>(input_gradient, element(row), zeros);
    }
  }
}

}  // namespace

void epilogue_backward_sums(const EpilogueArgs& args, cudaStream_t stream) {
  launch_covering(args, kMostSumBlocks, [&]<typename T, int kCount>(const Cover& all, dim3 blocks, dim3 threads) {
    backward_sums_kernel<T, kCount><<<blocks, threads, 0, stream>>>(args, all);
  });
}

void epilogue_backward_apply(const EpilogueArgs& args, cudaStream_t stream) {
  launch_covering(args, kMostApplyBlocks, [&]<typename T, int kCount>(const Cover& all, dim3 blocks, dim3 threads) {
    backward_apply_kernel<T, kCount><<<blocks, threads, 0, stream>>>(args, all);
  });
}

}  // namespace convoy::cuda
