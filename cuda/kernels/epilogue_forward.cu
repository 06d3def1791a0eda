// The forward passes of what follows a convolution. Training with batch statistics: pooling and the statistics' sums in
// one pass over the input, normalisation, residual addition and activation in another. Otherwise the second does all.
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

// The pooled value of a row; kept, with its place, where `args` has memory for them.
template <typename T, int kCount>
__device__ inline void pool_row(const EpilogueArgs& args, int row, int channel, float (&values)[kCount]) {
  const std::int64_t from = window_of(args, row).pixel * args.channels + channel;
  const std::int64_t stride = std::int64_t{args.width} * args.channels;
  Maximum<T, kCount> best;
  if (args.pool == 2) {  // all four on their way at once
    const auto first = read<T, kCount>(args.input, from), second = read<T, kCount>(args.input, from + args.channels);
    const auto third = read<T, kCount>(args.input, from + stride);
    const auto fourth = read<T, kCount>(args.input, from + stride + args.channels);
    best.begin(first);
    best.add(second, 1);
    best.add(third, 2);
    best.add(fourth, 3);
  } else {
    best.begin(read<T, kCount>(args.input, from));
    for (int y = 0; y < args.pool; ++y) {
      for (int x = y == 0 ? 1 : 0; x < args.pool; ++x) {
        best.add(read<T, kCount>(args.input, from + y * stride + std::int64_t{x} * args.channels), y * args.pool + x);
      }
    }
  }
  const std::int64_t to = std::int64_t{row} * args.channels + channel;
  if (args.pooled != nullptr) write<T>(args.pooled, to, best.values);
  if (args.argmax != nullptr) {
    Access<unsigned char, kCount> places;
#pragma unroll
    for (int i = 0; i < kCount; ++i) places.values[i] = static_cast<unsigned char>(best.places[i]);
    *reinterpret_cast<Access<unsigned char, kCount>*>(args.argmax + to) = places;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) values[i] = best.values[i];
}

template <typename T, int kCount>
__device__ inline void pooled_value(const EpilogueArgs& args, int row, int channel, float (&values)[kCount]) {
  if (args.pool == 1) {
    widen(read<T, kCount>(args.input, std::int64_t{row} * args.channels + channel), values);
  } else {
    pool_row<T>(args, row, channel, values);
  }
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
  const int groups = divided_up(valid_samples(args), args.group_size);
  double running_mean = 0, running_variance = 0;
  bool is_mine = false;
  for (int group = 0; group < groups; ++group) {
    const Rows rows = rows_of_group(args, group);
    const int count = rows.valid_end - rows.first, each = rows_of_part(cover, count);
    const int parts = channel < args.channels ? divided_up(count, each) : 0;
    const float2* first = part_sums + std::int64_t{group} * cover.parts * args.channels + channel;
    const double base = parts == 0 ? 0 : __ldcg(first).x;
    double total[3];  // of n (mean - base), n (mean - base)^2, squared deviations
    is_mine = sums.add(width, parts, total, [&](int part, double(&sum)[3]) {
      const float2 values = __ldcg(first + std::int64_t{part} * args.channels);
      const double apart = values.x - base, weighted = min(each, count - part * each) * apart;
      sum[0] += weighted;
      sum[1] += weighted * apart;
      sum[2] += values.y;
    });
    if (!is_mine || parts == 0) continue;
    const double mean = base + total[0] / count;
    const double squares = not_negative(total[2] + (total[1] - total[0] * total[0] / count));
    const auto inverse = static_cast<float>(1.0 / sqrt(squares / count + static_cast<double>(args.epsilon)));
    const std::int64_t at = std::int64_t{group} * args.channels + channel;
    args.mean[at] = static_cast<float>(mean);
    args.inverse_deviation[at] = inverse;
    args.factor[at] = args.scale == nullptr ? inverse : args.scale[channel] * inverse;
    running_mean += mean / groups;
    running_variance += squares / max(count - 1.0, 1.0) / groups;
  }
  if (groups == 0 || !is_mine || channel >= args.channels) return;
  move(args.running_mean, channel, args.statistics_momentum, running_mean);
  move(args.running_variance, channel, args.statistics_momentum, running_variance);
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads) forward_sums_kernel(const EpilogueArgs args, const Cover cover) {
  __shared__ BlockSums<2 * kCount> sums;
  __shared__ PartSums<3> part_sums;
  const Place place = place_of<kCount>(cover);
  const Rows group = rows_of_group(args, place.group);
  const Rows rows = part_of(cover, place.part, group.first, group.valid_end - group.first);
  const int count = rows.end - rows.first;
  const bool has_channel = place.channel < args.channels;
  if (count > 0) {
    int row = rows.first + place.line;
    float first[kCount] = {}, shift[kCount] = {};
    const bool has_first = has_channel && row < rows.end;
    if (has_first) pooled_value<T>(args, row, place.channel, first);
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
      if (args.pool == 1) {
#pragma unroll 4
        for (; row < rows.end; row += cover.lines) {
          float x[kCount];
          widen(read<T, kCount>(args.input, std::int64_t{row} * args.channels + place.channel), x);
          add(x);
        }
      } else {
        for (; row < rows.end; row += cover.lines) {
          float x[kCount];
          pool_row<T>(args, row, place.channel, x);
          add(x);
        }
      }
    }
    sums.add(cover, values);
    // The first line writes what it knows the shift of.
    if (place.line == 0 && has_channel) {
      auto* to = static_cast<float2*>(args.workspace) + std::int64_t{static_cast<int>(blockIdx.x)} * args.channels;
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

// What a block's threads multiply their channels with.
template <int kCount>
struct Factors {
  float mean[kCount], factor[kCount], shift[kCount];

  __device__ void read(const EpilogueArgs& args, std::int64_t group, int channel) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const std::int64_t at = group * args.channels + channel + i;
      const bool is_batch = args.mean != nullptr, is_running = !is_batch && args.running_mean != nullptr;
      mean[i] = is_batch ? args.mean[at] : is_running ? args.running_mean[channel + i] : 0.0F;
      if (is_running) {
        const float inverse = 1.0F / sqrtf(args.running_variance[channel + i] + args.epsilon);
        factor[i] = args.scale == nullptr ? inverse : args.scale[channel + i] * inverse;
      } else {
        factor[i] = is_batch ? args.factor[at] : 1.0F;
      }
      shift[i] = args.shift == nullptr ? 0.0F : args.shift[channel + i];
    }
  }
};

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads) forward_apply_kernel(const EpilogueArgs args, const Cover cover) {
  const Place place = place_of<kCount>(cover);
  const Rows group = rows_of_group(args, place.group);
  const Rows rows = part_of(cover, place.part, group.first, group.end - group.first);
  if (place.channel >= args.channels) return;
  Factors<kCount> factors;
  if (rows.first < group.valid_end) factors.read(args, place.group, place.channel);
  const auto apply = [&](int row, float(&x)[kCount], const Access<T, kCount>& residual) {
    const std::int64_t at = std::int64_t{row} * args.channels + place.channel;
    if (row >= group.valid_end) {
      const float zeros[kCount] = {};
      return write<T>(args.output, at, zeros);
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] = fmaf(x[i] - factors.mean[i], factors.factor[i], factors.shift[i]);
    if (args.residual != nullptr) {
      float added[kCount];
      widen(residual, added);
#pragma unroll
      for (int i = 0; i < kCount; ++i) x[i] += added[i];
    }
    if (args.preactivation != nullptr) write<T>(args.preactivation, at, x);
    activate(args.activation, x);
    write<T>(args.output, at, x);
  };
  constexpr int kAhead = 4;  // rows on their way at once; the output may be the input's memory
  const int step = args.pool == 1 ? kAhead : 1;
  for (int row = rows.first + place.line; row < rows.end; row += step * cover.lines) {
    Access<T, kCount> input[kAhead], residual[kAhead];
    if (args.pool == 1) {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const int next = row + i * cover.lines;
        const std::int64_t at = std::int64_t{next} * args.channels + place.channel;
        if (next < rows.end) input[i] = read<T, kCount>(args.input, at);
        if (next < rows.end && args.residual != nullptr) residual[i] = read<T, kCount>(args.residual, at);
      }
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        float x[kCount];
        widen(input[i], x);
        if (row + i * cover.lines < rows.end) apply(row + i * cover.lines, x, residual[i]);
      }
    } else {
      const std::int64_t at = std::int64_t{row} * args.channels + place.channel;
      if (args.residual != nullptr) residual[0] = read<T, kCount>(args.residual, at);
      float x[kCount];
      pool_row<T>(args, row, place.channel, x);
      apply(row, x, residual[0]);
    }
  }
}

}  // namespace

std::size_t epilogue_workspace(const EpilogueArgs& args) {
  const Cover all = cover(args);
  return sizeof(float2) * all.groups * all.parts * args.channels;
}

int epilogue_counters(const EpilogueArgs& args) { return cover(args).tiles; }

void epilogue_forward_sums(const EpilogueArgs& args, cudaStream_t stream) {
  launch_covering(args, [&]<typename T, int kCount>(const Cover& all, dim3 blocks, dim3 threads) {
    forward_sums_kernel<T, kCount><<<blocks, threads, 0, stream>>>(args, all);
  });
}

void epilogue_forward_apply(const EpilogueArgs& args, cudaStream_t stream) {
  launch_covering(args, [&]<typename T, int kCount>(const Cover& all, dim3 blocks, dim3 threads) {
    forward_apply_kernel<T, kCount><<<blocks, threads, 0, stream>>>(args, all);
  });
}

}  // namespace convoy::cuda
