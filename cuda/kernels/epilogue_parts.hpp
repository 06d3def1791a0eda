// What the epilogue's kernels share: how blocks cover a tensor, and sums over a block. Only
// epilogue_*.cu include it.
//
// A tensor is rows (pixels of all samples) of channels. A block takes a tile of neighbouring channels, as wide as one
// line of the cache where channels are packed, and a part of one group's rows; a thread keeps its channels, so that
// their factors stay in its registers, and takes every lines-th row. How the rows that count are cut into parts
// follows from their number and the channels alone: results do not depend on the planned batch or on the device.
#pragma once

#include "kernels/access.hpp"
#include "kernels/activation.hpp"
#include "kernels/epilogue.hpp"
#include "kernels/reduce.hpp"

namespace convoy::cuda {

constexpr int kLineBytes = 128;
constexpr int kMostColumns = 32;  // threads along the channels where each reads one element
constexpr int kLeastRows = 8;     // that a thread takes, where there are so many: fewer are not worth a part
// Blocks for one group. Where they make sums: all at once on an H100, two a multiprocessor at 128 registers a thread,
// so that there is no second wave and few sums to add up. Else: enough that the last wave is short.
constexpr int kMostSumBlocks = 132 * 2, kMostApplyBlocks = 132 * 12;

struct Cover {
  int columns;     // threads of a block along the channels
  int lines;       // threads of a block along the rows
  int tiles;       // blocks along the channels: gridDim.y
  int parts;       // blocks along the rows of a group, at most
  int most_parts;  // `parts` were a group large enough
  int groups;      // gridDim.x is groups * parts
};

__host__ __device__ constexpr int divided_up(int a, int b) { return (a + b - 1) / b; }

inline int elements_per_access(const EpilogueArgs& args) {
  const int pack = static_cast<int>(16 / bytes_per_element(args.type));
  return args.shape.channels % pack == 0 ? pack : 1;
}

inline Cover cover(const EpilogueArgs& args, int most_blocks) {
  const int count = elements_per_access(args);
  const int accesses = args.shape.channels / count;
  Cover cover{};
  cover.tiles = divided_up(accesses, count == 1 ? kMostColumns : kLineBytes / 16);
  cover.columns = divided_up(accesses, cover.tiles);
  cover.lines = kThreads / cover.columns;
  cover.most_parts = std::max(most_blocks / cover.tiles, 1);
  const int group_rows = args.shape.group_size * args.shape.pooled_height * args.shape.pooled_width;
  cover.parts = std::min(cover.most_parts, divided_up(group_rows, kLeastRows * cover.lines));
  cover.groups = divided_up(args.shape.samples, args.shape.group_size);
  return cover;
}

// kernel<T, elements per access>(args, cover), on a grid that covers all rows and channels.
template <typename Launch>
void launch_covering(const EpilogueArgs& args, int most_blocks, const Launch& launch) {
  const Cover all = cover(args, most_blocks);
  const dim3 blocks(static_cast<unsigned>(all.groups * all.parts), static_cast<unsigned>(all.tiles));
  const dim3 threads(static_cast<unsigned>(all.columns), static_cast<unsigned>(all.lines));
  const bool is_packed = elements_per_access(args) > 1;
  dispatch(args.type, [&]<typename T>() {
    is_packed ? launch.template operator()<T, Pack<T>::kCount>(all, blocks, threads)
              : launch.template operator()<T, 1>(all, blocks, threads);
  });
  CHECK_CUDA(cudaGetLastError());
}

// Rows [first, end), those from `valid_end` on padding.
struct Rows {
  int first, end, valid_end;
};

__device__ inline int valid_samples(const EpilogueArgs& args) {
  return args.row == nullptr ? args.shape.samples : min(max(args.row->count, 0), args.shape.samples);
}

// Field by field: what a kernel takes from its arguments at its beginning it keeps in registers, and need not fetch
// again in its loops.
__device__ inline EpilogueShape in_registers(const EpilogueShape& shape) {
  return {shape.samples,       shape.channels,     shape.height, shape.width,
          shape.pooled_height, shape.pooled_width, shape.pool,   shape.group_size};
}
__device__ inline Cover in_registers(const Cover& cover) {
  return {cover.columns, cover.lines, cover.tiles, cover.parts, cover.most_parts, cover.groups};
}

__device__ inline Rows rows_of_group(const EpilogueShape& shape, int valid_samples, int group) {
  const int pixels = shape.pooled_height * shape.pooled_width;
  const int first = group * shape.group_size;
  const int end = min(first + shape.group_size, shape.samples);
  return {first * pixels, end * pixels, max(first, min(end, valid_samples)) * pixels};
}

__device__ inline int rows_of_part(const Cover& cover, int rows) {
  return max(divided_up(rows, cover.most_parts), kLeastRows * cover.lines);
}

// Part `part` of `rows` rows from `first` on.
__device__ inline Rows part_of(const Cover& cover, int part, int first, int rows) {
  const int each = rows_of_part(cover, rows);
  const int end = first + rows;
  const int begin = min(first + part * each, end);
  return {begin, min(begin + each, end), end};
}

// The first of first, first + step, ... that is not below `least`.
__device__ inline int first_from(int first, int step, int least) {
  return first >= least ? first : first + divided_up(least - first, step) * step;
}

// Where a thread is. `channel` may lie beyond the last.
struct Place {
  int group, part, channel, line;
};

template <int kCount>
__device__ inline Place place_of(const Cover& cover) {
  const int block = static_cast<int>(blockIdx.x);
  const int column = static_cast<int>(blockIdx.y) * cover.columns + static_cast<int>(threadIdx.x);
  return {block / cover.parts, block % cover.parts, column * kCount, static_cast<int>(threadIdx.y)};
}

// The window of a pooled row: its first pixel, and whether it is the last of its image either way.
struct Window {
  std::int64_t pixel;  // of all samples
  bool is_last_row, is_last_column;
};

__device__ inline Window window_of(const EpilogueShape& shape, int row) {
  const int line = row / shape.pooled_width, column = row - line * shape.pooled_width;
  const int sample = line / shape.pooled_height, in_sample = line - sample * shape.pooled_height;
  const std::int64_t image_row = std::int64_t{sample} * shape.height + in_sample * shape.pool;
  return {image_row * shape.width + column * shape.pool, in_sample == shape.pooled_height - 1,
          column == shape.pooled_width - 1};
}

// Sums of kValues numbers of every thread over the lines of the block, in a fixed order; all threads must come.
// totals[value * columns + column]. kScratch floats of shared memory, kTotals results.
template <int kValues>
struct BlockSums {
  static constexpr int kScratch = (kThreads + kMostColumns) * kValues, kTotals = kMostColumns * kValues;
  float scratch[kScratch];
  float totals[kThreads];

  __device__ void add(const Cover& cover, const float (&values)[kValues]) {
    const int columns = cover.columns, lines = cover.lines;
    const int stride = columns * (lines + 1);  // one more than there are: fewer bank conflicts
    const int thread = static_cast<int>(threadIdx.y) * columns + static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kValues; ++i) scratch[i * stride + thread] = values[i];
    __syncthreads();
    const int width = columns * kValues, parts = columns * lines / width;
    const int part = thread / width, result = thread - part * width;
    float sum = 0;
    if (part < parts) {
      const int first = result / columns * stride + result % columns;
      for (int line = part; line < lines; line += parts) sum += scratch[first + line * columns];
    }
    __syncthreads();
    scratch[thread] = sum;
    __syncthreads();
    if (thread < width) {
      for (int other = 1; other < parts; ++other) sum += scratch[other * width + thread];
      totals[thread] = sum;
    }
    __syncthreads();
  }
};

// What the channels of a tile are multiplied with, read once a block: kRows numbers a channel.
template <int kRows, int kCount>
struct TileFactors {
  static constexpr int kMostChannels = kCount == 1 ? kMostColumns : kLineBytes / 16 * kCount;
  float values[kRows][kMostChannels];

  // source(channel, numbers): the numbers of one channel. All threads must come.
  template <typename Source>
  __device__ void fill(const Cover& cover, int channels, const Source& source) {
    const int thread = static_cast<int>(threadIdx.y) * cover.columns + static_cast<int>(threadIdx.x);
    const int channel = static_cast<int>(blockIdx.y) * cover.columns * kCount + thread;
    if (thread < cover.columns * kCount && channel < channels) {
      float numbers[kRows];
      source(channel, numbers);
#pragma unroll
      for (int row = 0; row < kRows; ++row) values[row][thread] = numbers[row];
    }
    __syncthreads();
  }
  __device__ void get(int row, float (&numbers)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) numbers[i] = values[row][threadIdx.x * kCount + i];
  }
};

// The parts' sums of one channel and group, added up in fp64 by all threads of a block: each channel of the tile has
// `helpers` threads, which take every helpers-th part and whose sums are added in order.
template <int kValues>
struct PartSums {
  double scratch[kValues][kThreads];

  // read(part, sums): adds a part. Returns true in the threads that hold a channel's total, [0, width).
  template <typename Read>
  __device__ bool add(int width, int parts, double (&sums)[kValues], const Read& read) {
    const int threads = static_cast<int>(blockDim.x * blockDim.y);
    const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
    const int helpers = threads / width, helper = thread / width;
#pragma unroll
    for (int i = 0; i < kValues; ++i) sums[i] = 0;
    if (helper < helpers) {
#pragma unroll 4
      for (int part = helper; part < parts; part += helpers) read(part, sums);
    }
    __syncthreads();  // the scratch's last readers are done
#pragma unroll
    for (int i = 0; i < kValues; ++i) scratch[i][thread] = sums[i];
    __syncthreads();
    if (helper != 0) return false;
    for (int other = 1; other < helpers; ++other) {
#pragma unroll
      for (int i = 0; i < kValues; ++i) sums[i] += scratch[i][other * width + thread];
    }
    return true;
  }
};

}  // namespace convoy::cuda
