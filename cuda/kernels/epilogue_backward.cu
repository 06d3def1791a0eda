// The backward passes of what follows a convolution: the sums of the gradient before the activation in one pass, the
// normalisation's gradient, scattered to the pooled windows' maxima, in another. That gradient is made twice: this
// moves fewer bytes than keeping it, and it is never rounded to the compute type.
#include "kernels/epilogue_parts.hpp"

namespace convoy::cuda {
namespace {

// g of one row: the gradient before the activation. `centred` is x - mean.
template <typename T, int kCount>
__device__ inline void gradient_before(const EpilogueArgs& args, const Access<T, kCount>& source,
                                       const float (&centred)[kCount], const float (&factor)[kCount],
                                       const float (&shift)[kCount], float (&gradient)[kCount]) {
  if (args.activation == Activation::none) return;
  float before[kCount];
  if (args.source == nullptr) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) before[i] = fmaf(centred[i], factor[i], shift[i]);
  } else {
    widen(source, before);
  }
  multiply_by_derivative(args.activation, before, gradient);
}

template <int kCount>
__device__ void finish_sums(const EpilogueArgs& args, const Cover& cover, PartSums<2>& sums) {
  const auto* part_sums = static_cast<const float2*>(args.workspace);  // sums of g and of g (x - mean)
  const int width = cover.columns * kCount;
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  const int channel = static_cast<int>(blockIdx.y) * width + thread % width;
  const int groups = divided_up(valid_samples(args), args.group_size);
  double scale_gradient = 0, shift_gradient = 0;
  for (int group = 0; group < groups; ++group) {
    const Rows rows = rows_of_group(args, group);
    const int count = rows.valid_end - rows.first;
    const int parts = channel < args.channels ? divided_up(count, rows_of_part(cover, count)) : 0;
    const float2* first = part_sums + std::int64_t{group} * cover.parts * args.channels + channel;
    double total[2];
    const bool is_mine = sums.add(width, parts, total, [&](int part, double(&sum)[2]) {
      const float2 values = __ldcg(first + std::int64_t{part} * args.channels);
      sum[0] += values.x;
      sum[1] += values.y;
    });
    if (!is_mine || parts == 0) continue;
    const std::int64_t at = std::int64_t{group} * args.channels + channel;
    const double inverse = args.inverse_deviation[at], factor = args.factor[at];
    args.slope[at] = static_cast<float>(-factor * inverse * inverse * total[1] / count);
    args.offset[at] = static_cast<float>(-factor * total[0] / count);
    scale_gradient += inverse * total[1];
    shift_gradient += total[0];
  }
  if (thread >= width || channel >= args.channels) return;
  if (args.scale_gradient != nullptr) args.scale_gradient[channel] = static_cast<float>(scale_gradient);
  if (args.shift_gradient != nullptr) args.shift_gradient[channel] = static_cast<float>(shift_gradient);
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads) backward_sums_kernel(const EpilogueArgs args, const Cover cover) {
  __shared__ BlockSums<2 * kCount> sums;
  __shared__ PartSums<2> part_sums;
  const Place place = place_of<kCount>(cover);
  const Rows group = rows_of_group(args, place.group);
  const Rows rows = part_of(cover, place.part, group.first, group.valid_end - group.first);
  const bool has_channel = place.channel < args.channels;
  if (rows.first < rows.end) {
    float values[2 * kCount] = {};
    if (has_channel) {
      float mean[kCount], factor[kCount], shift[kCount];
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const std::int64_t at = std::int64_t{place.group} * args.channels + place.channel + i;
        mean[i] = args.mean[at];
        factor[i] = args.factor[at];
        shift[i] = args.shift == nullptr ? 0.0F : args.shift[place.channel + i];
      }
#pragma unroll 2
      for (int row = rows.first + place.line; row < rows.end; row += cover.lines) {
        const std::int64_t at = std::int64_t{row} * args.channels + place.channel;
        float gradient[kCount], centred[kCount];
        const auto x = read<T, kCount>(args.input, at), given = read<T, kCount>(args.output_gradient, at);
        Access<T, kCount> source{};
        if (args.source != nullptr) source = read<T, kCount>(args.source, at);
        widen(x, centred);
        widen(given, gradient);
#pragma unroll
        for (int i = 0; i < kCount; ++i) centred[i] -= mean[i];
        gradient_before<T>(args, source, centred, factor, shift, gradient);
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
          values[i] += gradient[i];
          values[kCount + i] = fmaf(gradient[i], centred[i], values[kCount + i]);
        }
      }
    }
    sums.add(cover, values);
    if (place.line == 0 && has_channel) {
      auto* to = static_cast<float2*>(args.workspace) + std::int64_t{static_cast<int>(blockIdx.x)} * args.channels;
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
__device__ inline void scatter(const EpilogueArgs& args, int row, int channel, const float (&gradient)[kCount],
                               const Access<unsigned char, kCount>& places) {
  const Window window = window_of(args, row);
  const int height = window.is_last_row ? args.height - (args.pooled_height - 1) * args.pool : args.pool;
  const int width = window.is_last_column ? args.width - (args.pooled_width - 1) * args.pool : args.pool;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int place = y < args.pool && x < args.pool ? y * args.pool + x : -1;
      float values[kCount];
#pragma unroll
      for (int i = 0; i < kCount; ++i) values[i] = places.values[i] == place ? gradient[i] : 0.0F;
      write<T>(args.input_gradient, (window.pixel + std::int64_t{y} * args.width + x) * args.channels + channel,
               values);
    }
  }
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads) backward_apply_kernel(const EpilogueArgs args, const Cover cover) {
  const Place place = place_of<kCount>(cover);
  const Rows group = rows_of_group(args, place.group);
  const Rows rows = part_of(cover, place.part, group.first, group.end - group.first);
  if (place.channel >= args.channels) return;
  const bool is_normalised = args.slope != nullptr;
  float mean[kCount] = {}, factor[kCount] = {}, shift[kCount] = {}, slope[kCount] = {}, offset[kCount] = {};
  if (is_normalised && rows.first < group.valid_end) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const std::int64_t at = std::int64_t{place.group} * args.channels + place.channel + i;
      mean[i] = args.mean[at];
      factor[i] = args.factor[at];
      slope[i] = args.slope[at];
      offset[i] = args.offset[at];
      shift[i] = args.shift == nullptr ? 0.0F : args.shift[place.channel + i];
    }
  }
  constexpr int kAhead = 2;  // rows on their way at once; the input's gradient may be the output's memory
  for (int row = rows.first + place.line; row < rows.end; row += kAhead * cover.lines) {
    Access<T, kCount> given[kAhead], x[kAhead], source[kAhead];
    Access<unsigned char, kCount> places[kAhead] = {};
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int next = row + i * cover.lines;
      if (next >= min(rows.end, group.valid_end)) continue;
      const std::int64_t at = std::int64_t{next} * args.channels + place.channel;
      given[i] = read<T, kCount>(args.output_gradient, at);
      if (is_normalised) x[i] = read<T, kCount>(args.input, at);
      if (args.source != nullptr) source[i] = read<T, kCount>(args.source, at);
      if (args.pool > 1 && args.input_gradient != nullptr) {
        places[i] = *reinterpret_cast<const Access<unsigned char, kCount>*>(args.argmax + at);
      }
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int next = row + i * cover.lines;
      if (next >= rows.end) continue;
      const std::int64_t at = std::int64_t{next} * args.channels + place.channel;
      float gradient[kCount] = {}, centred[kCount] = {};
      const bool is_valid = next < group.valid_end;
      if (is_valid) {
        widen(given[i], gradient);
        if (is_normalised) widen(x[i], centred);
#pragma unroll
        for (int k = 0; k < kCount; ++k) centred[k] -= mean[k];
        gradient_before<T>(args, source[i], centred, factor, shift, gradient);
      }
      if (args.residual_gradient != nullptr) write<T>(args.residual_gradient, at, gradient);
      if (args.input_gradient == nullptr) continue;
      if (is_valid && is_normalised) {
#pragma unroll
        for (int k = 0; k < kCount; ++k) {
          gradient[k] = fmaf(gradient[k], factor[k], fmaf(centred[k], slope[k], offset[k]));
        }
      }
      if (args.pool == 1) {
        write<T>(args.input_gradient, at, gradient);
      } else {
        scatter<T>(args, next, place.channel, gradient, places[i]);
      }
    }
  }
}

}  // namespace

void epilogue_backward_sums(const EpilogueArgs& args, cudaStream_t stream) {
  launch_covering(args, [&]<typename T, int kCount>(const Cover& all, dim3 blocks, dim3 threads) {
    backward_sums_kernel<T, kCount><<<blocks, threads, 0, stream>>>(args, all);
  });
}

void epilogue_backward_apply(const EpilogueArgs& args, cudaStream_t stream) {
  launch_covering(args, [&]<typename T, int kCount>(const Cover& all, dim3 blocks, dim3 threads) {
    backward_apply_kernel<T, kCount><<<blocks, threads, 0, stream>>>(args, all);
  });
}

}  // namespace convoy::cuda
