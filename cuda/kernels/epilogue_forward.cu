// The forward passes of what follows a convolution. Training with batch statistics: pooling and the statistics' sums in
// one pass over the input, normalisation, residual addition and activation in another; both in one launch where all
// blocks run at once, and so can wait for each other in between. Otherwise the second does all.
#include "kernels/at_once.hpp"
#include "kernels/epilogue_parts.hpp"

namespace convoy::cuda {
namespace {

constexpr int kProbes = 4;  // rows whose mean is taken off before a part's values are squared

// The maximum of every channel of a window and its place. Ties go to the first position in row-major order; a NaN wins.
template <typename T, int kCount>
struct Maximum {
  float values[kCount];
  int places[kCount];

  __device__ void begin(const Access<T, kCount>& first) {
    widen(first, values);
#pragma unroll
    for (int i = 0; i < kCount; ++i) places[i] = 0;
  }
  __device__ void add(const Access<T, kCount>& next, int place) {
    float value[kCount];
    widen(next, value);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const bool wins = value[i] > values[i] || value[i] != value[i];
      values[i] = wins ? value[i] : values[i];
      places[i] = wins ? place : places[i];
    }
  }
};

// What pooling reads and writes.
struct Pooling {
  const void* input;
  void* pooled;           // null: not kept
  unsigned char* argmax;  // null: not kept
};

template <typename T, int kCount>
__device__ inline void pool_row(const EpilogueShape& shape, const Pooling& tensors, int row, int channel,
                                float (&values)[kCount]) {
  const std::int64_t from = window_of(shape, row).pixel * shape.channels + channel;
  const std::int64_t stride = std::int64_t{shape.width} * shape.channels;
  Maximum<T, kCount> best;
  if (shape.pool == 2) {  // all four on their way at once
    const auto first = read<T, kCount>(tensors.input, from);
    const auto second = read<T, kCount>(tensors.input, from + shape.channels);
    const auto third = read<T, kCount>(tensors.input, from + stride);
    const auto fourth = read<T, kCount>(tensors.input, from + stride + shape.channels);
    best.begin(first);
    best.add(second, 1);
    best.add(third, 2);
    best.add(fourth, 3);
  } else {
    best.begin(read<T, kCount>(tensors.input, from));
    for (int y = 0; y < shape.pool; ++y) {
      for (int x = y == 0 ? 1 : 0; x < shape.pool; ++x) {
        best.add(read<T, kCount>(tensors.input, from + y * stride + std::int64_t{x} * shape.channels),
                 y * shape.pool + x);
      }
    }
  }
  const std::int64_t to = std::int64_t{row} * shape.channels + channel;
  if (tensors.pooled != nullptr) write<T>(tensors.pooled, to, best.values);
  if (tensors.argmax != nullptr) write_places<unsigned char>(tensors.argmax, to, best.places);
#pragma unroll
  for (int i = 0; i < kCount; ++i) values[i] = best.values[i];
}

// Rounding may take a sum of squares below zero; a NaN stays.
template <typename Real>
__device__ inline Real not_negative(Real value) {
  return value < 0 ? Real{} : value;
}

// Running statistics take the mean of the groups' values, the variance with the divisor of an unbiased estimate.
__device__ inline void move(float* running, int channel, float share, double target) {
  if (running == nullptr) return;
  const double before = running[channel];
  running[channel] = static_cast<float>((1.0 - static_cast<double>(share)) * before + share * target);
}

// Parts combined (Chan, Golub and LeVeque 1983), each mean taken relative to the first part's.
template <int kCount>
__device__ void finish_statistics(const EpilogueArgs& args, const Cover& cover, PartSums<3>& sums) {
  const auto* part_sums = static_cast<const float2*>(args.workspace);  // mean, sum of squared deviations
  const int width = cover.columns * kCount;
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  const int channel = static_cast<int>(blockIdx.y) * width + thread % width;
  const int valid = valid_samples(args), groups = divided_up(valid, args.shape.group_size);
  double running_mean = 0, running_variance = 0;
  bool is_mine = false;
  for (int group = 0; group < groups; ++group) {
    const Rows rows = rows_of_group(args.shape, valid, group);
    const int count = rows.valid_end - rows.first, each = rows_of_part(cover, count);
    const int parts = channel < args.shape.channels ? divided_up(count, each) : 0;
    const float2* first = part_sums + std::int64_t{group} * cover.parts * args.shape.channels + channel;
    const double base = parts == 0 ? 0 : __ldcg(first).x;
    double total[3];  // of n (mean - base), n (mean - base)^2, squared deviations
    is_mine = sums.add(width, parts, total, [&](int part, double(&sum)[3]) {
      const float2 values = __ldcg(first + std::int64_t{part} * args.shape.channels);
      const double apart = values.x - base, weighted = min(each, count - part * each) * apart;
      sum[0] += weighted;
      sum[1] += weighted * apart;
      sum[2] += values.y;
    });
    if (!is_mine || parts == 0) continue;
    const double mean = base + total[0] / count;
    const double squares = not_negative(total[2] + (total[1] - total[0] * total[0] / count));
    const auto inverse = static_cast<float>(1.0 / sqrt(squares / count + static_cast<double>(args.epsilon)));
    const std::int64_t at = std::int64_t{group} * args.shape.channels + channel;
    args.mean[at] = static_cast<float>(mean);
    args.inverse_deviation[at] = inverse;
    args.factor[at] = args.scale == nullptr ? inverse : args.scale[channel] * inverse;
    running_mean += mean / groups;
    running_variance += squares / max(count - 1.0, 1.0) / groups;
  }
  if (groups == 0 || !is_mine || channel >= args.shape.channels) return;
  move(args.running_mean, channel, args.statistics_momentum, running_mean);
  move(args.running_variance, channel, args.statistics_momentum, running_variance);
}

template <typename T, int kCount>
__device__ void sum_rows(const EpilogueArgs& args, const Cover& given) {
  __shared__ BlockSums<2 * kCount> sums;
  __shared__ PartSums<3> part_sums;
  const EpilogueShape shape = in_registers(args.shape);
  const Cover cover = in_registers(given);
  const Pooling tensors{args.input, args.pooled, args.argmax};
  auto* const workspace = static_cast<float2*>(args.workspace);
  const Place place = place_of<kCount>(cover);
  const Rows group = rows_of_group(shape, valid_samples(args), place.group);
  const Rows rows = part_of(cover, place.part, group.first, group.valid_end - group.first);
  const int count = rows.end - rows.first;
  const bool has_channel = place.channel < shape.channels;
  if (count > 0) {
    int row = rows.first + place.line;
    float first[kCount] = {}, shift[kCount] = {};
    const bool has_first = has_channel && row < rows.end;
    if (has_first && shape.pool == 1) {
      widen(read<T, kCount>(tensors.input, std::int64_t{row} * shape.channels + place.channel), first);
    } else if (has_first) {
      pool_row<T>(shape, tensors, row, place.channel, first);
    }
    const int probes = min(min(kProbes, cover.lines), count);
    if (place.line < probes) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) sums.scratch[(place.line * cover.columns + threadIdx.x) * kCount + i] = first[i];
    }
    __syncthreads();
    for (int probe = 0; probe < probes; ++probe) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) shift[i] += sums.scratch[(probe * cover.columns + threadIdx.x) * kCount + i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kCount; ++i) shift[i] /= static_cast<float>(probes);

    float values[2 * kCount] = {};  // sums of x - shift and of its square
    const auto add = [&](const float(&x)[kCount]) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const float apart = x[i] - shift[i];
        values[i] += apart;
        values[kCount + i] = fmaf(apart, apart, values[kCount + i]);
      }
    };
    if (has_first) {
      add(first);
      row += cover.lines;
      if (shape.pool == 1) {
#pragma unroll 4
        for (; row < rows.end; row += cover.lines) {
          float x[kCount];
          widen(read<T, kCount>(tensors.input, std::int64_t{row} * shape.channels + place.channel), x);
          add(x);
        }
      } else {
        for (; row < rows.end; row += cover.lines) {
          float x[kCount];
          pool_row<T>(shape, tensors, row, place.channel, x);
          add(x);
        }
      }
    }
    sums.add(cover, values);
    // The first line writes what it knows the shift of.
    if (place.line == 0 && has_channel) {
      float2* to = workspace + std::int64_t{static_cast<int>(blockIdx.x)} * shape.channels;
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const float sum = sums.totals[i * cover.columns + threadIdx.x];
        const float square = sums.totals[(kCount + i) * cover.columns + threadIdx.x];
        const float mean = sum / static_cast<float>(count);
        to[place.channel + i] = make_float2(shift[i] + mean, not_negative(fmaf(-sum, mean, square)));
      }
    }
  }
  if (is_last_block(args.counters)) finish_statistics<kCount>(args, cover, part_sums);
}

// Mean, factor and shift of a channel: of the group, by the running statistics, or none.
__device__ inline void factors_of(const EpilogueArgs& args, int group, int channel, float (&numbers)[3]) {
  numbers[0] = 0.0F;
  numbers[1] = 1.0F;
  numbers[2] = args.shift == nullptr ? 0.0F : args.shift[channel];
  if (args.mean != nullptr) {
    const std::int64_t at = std::int64_t{group} * args.shape.channels + channel;
    numbers[0] = args.mean[at];
    numbers[1] = args.factor[at];
  } else if (args.running_mean != nullptr) {
    numbers[0] = args.running_mean[channel];
    numbers[1] =
        (args.scale == nullptr ? 1.0F : args.scale[channel]) / sqrtf(args.running_variance[channel] + args.epsilon);
  }
}

// kAhead: rows that a thread has on their way at once.
template <typename T, int kCount, int kAhead>
__device__ void apply_to_rows(const EpilogueArgs& args, const Cover& given) {
  __shared__ TileFactors<3, kCount> factors;
  const EpilogueShape shape = in_registers(args.shape);
  const Cover cover = in_registers(given);
  const Pooling tensors{args.input, args.pooled, args.argmax};
  const void* const residuals = args.residual;
  void *const preactivations = args.preactivation, *const output = args.output;
  const Activation activation = args.activation;
  const Place place = place_of<kCount>(cover);
  const Rows group = rows_of_group(shape, valid_samples(args), place.group);
  const Rows rows = part_of(cover, place.part, group.first, group.end - group.first);
  if (rows.first < group.valid_end) {
    factors.fill(cover, shape.channels,
                 [&](int channel, float(&numbers)[3]) { factors_of(args, place.group, channel, numbers); });
  }
  if (place.channel >= shape.channels) return;
  float mean[kCount], factor[kCount], shift[kCount];
  factors.get(0, mean);
  factors.get(1, factor);
  factors.get(2, shift);
  const auto apply = [&](std::int64_t at, float(&x)[kCount], const Access<T, kCount>& residual) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] = fmaf(x[i] - mean[i], factor[i], shift[i]);
    if (residuals != nullptr) {
      float added[kCount];
      widen(residual, added);
#pragma unroll
      for (int i = 0; i < kCount; ++i) x[i] += added[i];
    }
    if (preactivations != nullptr) write<T>(preactivations, at, x);
    activate(activation, x);
    write<T>(output, at, x);
  };
  const std::int64_t stride = std::int64_t{cover.lines} * shape.channels;
  const int valid_end = min(rows.end, group.valid_end);
  int row = rows.first + place.line;
  std::int64_t at = std::int64_t{row} * shape.channels + place.channel;
  if (shape.pool == 1) {
    // The output may be the input's memory.
    for (; row < valid_end; row += kAhead * cover.lines, at += kAhead * stride) {
      Access<T, kCount> input[kAhead], residual[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        if (row + i * cover.lines >= valid_end) continue;
        input[i] = read<T, kCount>(tensors.input, at + i * stride);
        if (residuals != nullptr) residual[i] = read<T, kCount>(residuals, at + i * stride);
      }
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        if (row + i * cover.lines >= valid_end) continue;
        float x[kCount];
        widen(input[i], x);
        apply(at + i * stride, x, residual[i]);
      }
    }
  } else {
    for (; row < valid_end; row += cover.lines, at += stride) {
      Access<T, kCount> residual;
      if (residuals != nullptr) residual = read<T, kCount>(residuals, at);
      float x[kCount];
      pool_row<T>(shape, tensors, row, place.channel, x);
      apply(at, x, residual);
    }
  }
  for (row = first_from(rows.first + place.line, cover.lines, valid_end); row < rows.end; row += cover.lines) {
    const float zeros[kCount] = {};
    write<T>(output, std::int64_t{row} * shape.channels + place.channel, zeros);
  }
}

// What is left to do when the pooled tensor is there.
__host__ __device__ inline EpilogueArgs after_pooling(EpilogueArgs args) {
  if (args.shape.pool == 1) return args;
  args.input = args.pooled;
  args.pooled = nullptr;
  args.argmax = nullptr;
  args.shape.height = args.shape.pooled_height;
  args.shape.width = args.shape.pooled_width;
  args.shape.pool = 1;
  return args;
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads, 2) forward_sums_kernel(const EpilogueArgs args, const Cover cover) {
  sum_rows<T, kCount>(args, cover);
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads, 3) forward_apply_kernel(const EpilogueArgs args, const Cover cover) {
  apply_to_rows<T, kCount, 2>(args, cover);
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads, 3) forward_kernel(const EpilogueArgs args, const Cover cover) {
  sum_rows<T, kCount>(args, cover);
  wait_for_all_blocks();
  apply_to_rows<T, kCount, 3>(after_pooling(args), cover);  // fewer blocks than above, each with more on its way
}

}  // namespace

std::size_t epilogue_workspace(const EpilogueArgs& args) {
  const Cover all = cover(args, kMostSumBlocks);
  return sizeof(float2) * all.groups * all.parts * args.shape.channels;
}

int epilogue_counters(const EpilogueArgs& args) { return cover(args, kMostSumBlocks).tiles; }

bool epilogue_forward_fits_at_once(const EpilogueArgs& args) {
  bool fits = false;
  launch_covering(args, kMostSumBlocks, [&]<typename T, int kCount>(const Cover&, dim3 blocks, dim3 threads) {
    fits = fits_at_once(forward_kernel<T, kCount>, blocks, threads);
  });
  return fits;
}

void epilogue_forward(const EpilogueArgs& args, bool at_once, cudaStream_t stream) {
  launch_covering(args, kMostSumBlocks, [&]<typename T, int kCount>(const Cover& all, dim3 blocks, dim3 threads) {
    if (at_once) {
      launch_at_once(forward_kernel<T, kCount>, blocks, threads, stream, args, all);
    } else {
      forward_sums_kernel<T, kCount><<<blocks, threads, 0, stream>>>(args, all);
    }
  });
  if (!at_once) epilogue_forward_apply(after_pooling(args), stream);
}

void epilogue_forward_apply(const EpilogueArgs& args, cudaStream_t stream) {
  launch_covering(args, kMostApplyBlocks, [&]<typename T, int kCount>(const Cover& all, dim3 blocks, dim3 threads) {
    forward_apply_kernel<T, kCount><<<blocks, threads, 0, stream>>>(args, all);
  });
}

}  // namespace convoy::cuda
