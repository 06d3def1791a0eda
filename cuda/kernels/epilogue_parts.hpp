// What the epilogue's kernels share: how blocks cover a tensor, sums over a block, and which block comes last. Only
// epilogue_*.cu include it.
//
// A tensor is rows (pixels of all samples) of channels. A block takes a tile of neighbouring channels, as wide as one
// line of the cache where channels are packed, and a part of one group's rows; a thread keeps its channels, so that
// their factors stay in its registers, and takes every lines-th row. How the rows that count are cut into parts
// follows from their number and the channels alone: results do not depend on the planned batch or on the device.
#pragma once

#include "kernels/activation.hpp"
#include "kernels/epilogue.hpp"
#include "kernels/launch.hpp"

namespace convoy::cuda {

constexpr int kLineBytes = 128;
constexpr int kMostColumns = 32;      // threads along the channels where each reads one element
constexpr int kLeastRows = 8;         // that a thread takes, where there are so many: fewer are not worth a part
constexpr int kMostBlocks = 132 * 4;  // of one group: all at once on an H100, so that the last of them comes soon

struct Cover {
  int columns;     // threads of a block along the channels
  int lines;       // threads of a block along the rows
  int tiles;       // blocks along the channels: gridDim.y
  int parts;       // blocks along the rows of a group, at most
  int most_parts;  // `parts` were a group large enough
  int groups;      // gridDim.x is groups * parts
};

constexpr int divided_up(int a, int b) { return (a + b - 1) / b; }

inline int elements_per_access(const EpilogueArgs& args) {
  const int pack = static_cast<int>(16 / bytes_per_element(args.type));
  return args.channels % pack == 0 ? pack : 1;
}

inline Cover cover(const EpilogueArgs& args) {
  const int count = elements_per_access(args);
  const int accesses = args.channels / count;
  Cover cover{};
  cover.tiles = divided_up(accesses, count == 1 ? kMostColumns : kLineBytes / 16);
  cover.columns = divided_up(accesses, cover.tiles);
  cover.lines = kThreads / cover.columns;
  cover.most_parts = std::max(kMostBlocks / cover.tiles, 1);
  const int group_rows = args.group_size * args.pooled_height * args.pooled_width;
  cover.parts = std::min(cover.most_parts, divided_up(group_rows, kLeastRows * cover.lines));
  cover.groups = divided_up(args.samples, args.group_size);
  return cover;
}

// kernel<T, elements per access>(args, cover), on a grid that covers all rows and channels.
template <typename Launch>
void launch_covering(const EpilogueArgs& args, const Launch& launch) {
  const Cover all = cover(args);
  const dim3 blocks(static_cast<unsigned>(all.groups * all.parts), static_cast<unsigned>(all.tiles));
  const dim3 threads(static_cast<unsigned>(all.columns), static_cast<unsigned>(all.lines));
  const bool is_packed = elements_per_access(args) > 1;
  dispatch(args.type, [&]<typename T>() {
    is_packed ? launch.template operator()<T, Pack<T>::kCount>(all, blocks, threads)
              : launch.template operator()<T, 1>(all, blocks, threads);
  });
  CHECK_CUDA(cudaGetLastError());
}

template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Access {
  T values[kCount];
};

template <typename T, int kCount>
__device__ inline Access<T, kCount> read(const void* tensor, std::int64_t element) {
  return *reinterpret_cast<const Access<T, kCount>*>(static_cast<const T*>(tensor) + element);
}

template <typename T, int kCount>
__device__ inline void widen(const Access<T, kCount>& from, float (&to)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) to[i] = to_float(from.values[i]);
}

template <typename T, int kCount>
__device__ inline void write(void* tensor, std::int64_t element, const float (&values)[kCount]) {
  Access<T, kCount> narrow;
#pragma unroll
  for (int i = 0; i < kCount; ++i) narrow.values[i] = from_float<T>(values[i]);
  *reinterpret_cast<Access<T, kCount>*>(static_cast<T*>(tensor) + element) = narrow;
}

// Rows [first, end), those from `valid_end` on padding.
struct Rows {
  int first, end, valid_end;
};

__device__ inline int valid_samples(const EpilogueArgs& args) {
  return args.row == nullptr ? args.samples : min(max(args.row->count, 0), args.samples);
}

__device__ inline Rows rows_of_group(const EpilogueArgs& args, int group) {
  const int pixels = args.pooled_height * args.pooled_width;
  const int first = group * args.group_size;
  const int end = min(first + args.group_size, args.samples);
  return {first * pixels, end * pixels, max(first, min(end, valid_samples(args))) * pixels};
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

__device__ inline Window window_of(const EpilogueArgs& args, int row) {
  const int line = row / args.pooled_width, column = row - line * args.pooled_width;
  const int sample = line / args.pooled_height, in_sample = line - sample * args.pooled_height;
  const std::int64_t image_row = std::int64_t{sample} * args.height + in_sample * args.pool;
  return {image_row * args.width + column * args.pool, in_sample == args.pooled_height - 1,
          column == args.pooled_width - 1};
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

// True in the last of the tile's blocks to come here: what the others wrote before is there to be read (__ldcg).
__device__ inline bool is_last_block(unsigned* counters) {
  __shared__ bool is_last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    // Wraps around to 0, which is what the next launch expects.
    is_last = atomicInc(counters + blockIdx.y, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (is_last) __threadfence();
  return is_last;
}

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
