// See bias_gradient.hpp. The rows are cut into parts; a block sums one part of some neighbouring channels, and the same
// kernel then sums the parts' sums. Threads of a block lie along the channels first, so that accesses are whole lines
// for any number of channels.
#include "kernels/bias_gradient.hpp"
#include "kernels/launch.hpp"

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

// sums [parts, channels]: each block writes one part of kCount * columns channels.
template <typename T, int kCount>
__global__ void column_sums_kernel(const T* values, std::int64_t rows, int channels, int columns, int lines,
                                   std::int64_t part_rows, float* sums) {
  struct alignas(sizeof(T) * kCount) Access {
    T values[kCount];
  };
  __shared__ float partial[kThreads * kCount];  // [lines, columns, kCount]
  const int column = static_cast<int>(threadIdx.x) % columns, line = static_cast<int>(threadIdx.x) / columns;
  const std::int64_t channel = (std::int64_t{blockIdx.y} * columns + column) * kCount;
  const std::int64_t first = blockIdx.x * part_rows;
  const std::int64_t end = first + part_rows < rows ? first + part_rows : rows;
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
    for (int i = 0; i < kCount; ++i) partial[(line * columns + column) * kCount + i] = sum[i];
  }
  __syncthreads();
  const int width = columns * kCount;
  const std::int64_t tile = std::int64_t{blockIdx.y} * width;
  for (int i = static_cast<int>(threadIdx.x); i < width && tile + i < channels; i += kThreads) {
    float total = 0;
    for (int l = 0; l < lines; ++l) total += partial[l * width + i];
    sums[std::int64_t{blockIdx.x} * channels + tile + i] = total;
  }
}

template <typename T>
void column_sums(const T* values, std::int64_t rows, int channels, const Cover& cover, float* sums,
                 cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(cover.parts), static_cast<unsigned>(cover.tiles));
  const auto launch = [&]<int kCount>() {
    column_sums_kernel<T, kCount>
        <<<blocks, kThreads, 0, stream>>>(values, rows, channels, cover.columns, cover.lines, cover.part_rows, sums);
  };
  cover.is_packed ? launch.template operator()<Pack<T>::kCount>() : launch.template operator()<1>();
  CHECK_CUDA(cudaGetLastError());
}

// One part, whatever the rows.
Cover whole(std::int64_t rows, int channels) {
  Cover all = cover(sizeof(float), rows, channels);
  all.parts = 1;
  all.part_rows = rows;
  return all;
}

}  // namespace

std::size_t bias_gradient_workspace(std::int64_t rows, int channels) {
  std::size_t most = 0;
  for (const DType type : {DType::f32, DType::bf16}) {
    const int parts = cover(bytes_per_element(type), rows, channels).parts;
    if (parts > 1) most = std::max(most, sizeof(float) * parts * channels);
  }
  return most;
}

// The gradient and the workspace start at multiples of kAlignment.
void bias_gradient(const void* output_gradient, DType type, std::int64_t rows, int channels, void* workspace,
                   float* bias_gradient, cudaStream_t stream) {
  const Cover first = cover(bytes_per_element(type), rows, channels);
  auto* sums = first.parts > 1 ? static_cast<float*>(workspace) : bias_gradient;
  dispatch(type, [&]<typename T>() {
    column_sums(static_cast<const T*>(output_gradient), rows, channels, first, sums, stream);
  });
  if (first.parts > 1) column_sums(sums, first.parts, channels, whole(first.parts, channels), bias_gradient, stream);
}

}  // namespace convoy::cuda
