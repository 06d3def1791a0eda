// See bias_gradient.hpp. The rows are cut into parts; a block sums one part of some neighbouring channels, and the last
// of these channels' blocks then sums the parts' sums. Threads of a block lie along the channels first, so that
// accesses are whole lines for any number of channels.
#include "kernels/bias_gradient.hpp"
#include "kernels/reduce.hpp"

namespace convoy::cuda {
namespace {

constexpr int kMostColumns = 16;  // threads of a block along the channels: 256 bytes of a row where channels are packed
constexpr int kLeastRows = 8;     // that a thread sums, where there are so many: fewer are not worth a part
constexpr int kMostBlocks = 1024;  // of the first pass; all at once on a large GPU

constexpr std::int64_t divided_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// How one pass covers [rows, channels]; follows from the sizes and the type alone.
struct Cover {
  bool is_packed;  // each thread reads 16 bytes of neighbouring channels, else one element
  int columns;     // threads along the channels
  int lines;       // threads along the rows: as many as fit in kThreads
  int tiles;       // blocks along the channels
  int parts;       // blocks along the rows
  std::int64_t part_rows;
};

Cover cover(std::size_t element_bytes, std::int64_t rows, int channels) {
  const int pack = static_cast<int>(16 / element_bytes);
  const bool is_packed = channels % pack == 0;
  const int packs = is_packed ? channels / pack : channels;
  const int columns = std::min(packs, kMostColumns);
  const int lines = kThreads / columns;
  const int tiles = static_cast<int>(divided_up(packs, columns));
  const std::int64_t useful = std::max<std::int64_t>(rows / (std::int64_t{kLeastRows} * lines), 1);
  const std::int64_t most = std::max(kMostBlocks / tiles, 1);
  const std::int64_t part_rows = divided_up(rows, std::min(useful, most));
  return {is_packed, columns, lines, tiles, static_cast<int>(divided_up(rows, part_rows)), part_rows};
}

// Sums [lines, width] in shared memory, line by line.
__device__ float total_of(const float* partial, int lines, int width, int channel) {
  float total = 0;
  for (int line = 0; line < lines; ++line) total += partial[line * width + channel];
  return total;
}

// Each block sums one part of kCount * columns channels into sums [parts, channels].
template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads, 2)
    bias_gradient_kernel(const BiasGradientArgs args, int columns, int lines, std::int64_t part_rows) {
  struct alignas(sizeof(T) * kCount) Access {
    T values[kCount];
  };
  __shared__ float partial[kThreads * kCount];  // [lines, columns, kCount] of rows, then of parts
  const int thread = static_cast<int>(threadIdx.x), column = thread % columns, line = thread / columns;
  const int channels = args.channels, width = columns * kCount, tile = static_cast<int>(blockIdx.y) * width;
  const int channel = tile + column * kCount;
  const auto* values = static_cast<const T*>(args.output_gradient);
  const std::int64_t first = blockIdx.x * part_rows;
  const std::int64_t end = first + part_rows < args.rows ? first + part_rows : args.rows;
  float sum[kCount] = {};
  if (line < lines && channel < channels) {
#pragma unroll 4
    for (std::int64_t row = first + line; row < end; row += lines) {
      const Access read = *reinterpret_cast<const Access*>(values + row * channels + channel);
#pragma unroll
      for (int i = 0; i < kCount; ++i) sum[i] += to_float(read.values[i]);
    }
  }
  if (line < lines) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) partial[line * width + column * kCount + i] = sum[i];
  }
  __syncthreads();
  const int parts = static_cast<int>(gridDim.x);
  auto* sums = parts == 1 ? args.bias_gradient : static_cast<float*>(args.workspace);
  for (int i = thread; i < width && tile + i < channels; i += kThreads) {
    sums[std::int64_t{blockIdx.x} * channels + tile + i] = total_of(partial, lines, width, i);
  }
  if (parts == 1 || !is_last_block(args.counters)) return;
  for (int place = thread; place < lines * width; place += kThreads) {
    const int i = place % width;
    float part_sum = 0;
    for (int part = place / width; part < parts && tile + i < channels; part += lines) {
      part_sum += __ldcg(sums + std::int64_t{part} * channels + tile + i);
    }
    partial[place] = part_sum;
  }
  __syncthreads();
  for (int i = thread; i < width && tile + i < channels; i += kThreads) {
    args.bias_gradient[tile + i] = total_of(partial, lines, width, i);
  }
}

Cover cover(const BiasGradientArgs& args) { return cover(bytes_per_element(args.type), args.rows, args.channels); }

}  // namespace

std::size_t bias_gradient_workspace(const BiasGradientArgs& args) {
  const int parts = cover(args).parts;
  return parts > 1 ? sizeof(float) * parts * args.channels : 0;
}

int bias_gradient_counters(const BiasGradientArgs& args) { return cover(args).tiles; }

void bias_gradient(const BiasGradientArgs& args, cudaStream_t stream) {
  const Cover all = cover(args);
  const dim3 blocks(static_cast<unsigned>(all.parts), static_cast<unsigned>(all.tiles));
  dispatch(args.type, [&]<typename T>() {
    const auto kernel = all.is_packed ? bias_gradient_kernel<T, Pack<T>::kCount> : bias_gradient_kernel<T, 1>;
    kernel<<<blocks, kThreads, 0, stream>>>(args, all.columns, all.lines, all.part_rows);
  });
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace convoy::cuda
