// See muon.hpp. The table of matrices is an argument of the kernels: nothing to allocate, nothing to read first. A
// block takes one part of one matrix.
#include <algorithm>
#include <type_traits>

#include "kernels/at_once.hpp"
#include "kernels/launch.hpp"
#include "kernels/muon.hpp"

namespace convoy::cuda {
namespace {

constexpr int kMatrices = 56;  // in one launch: a kernel's arguments are at most 4 KiB
constexpr std::int64_t kPartElements = 4096;
constexpr int kMostParts = kThreads;  // so that a block reads all parts' sums at once
constexpr double kNormEpsilon = 1e-7;

struct Table {
  MuonMatrix matrices[kMatrices];
  int count;
  float momentum;
  bool nesterov, normalise_weights;
};
static_assert(sizeof(Table) + sizeof(MuonBuffers) <= 4096);

// Of this block; part counts from the first of all matrices.
__device__ const MuonMatrix& matrix_of(const Table& table, int part) {
  int i = 0;
  while (i + 1 < table.count && part >= table.matrices[i + 1].first_part) ++i;
  return table.matrices[i];
}

// The sum over the block, in an order of its own; every thread gets it. `scratch` [kThreads / kWarp].
__device__ double block_sum(double value, double* scratch) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, lanes);
  __syncthreads();  // scratch may still be read for the sum before
  if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = value;
  __syncthreads();
  double sum = 0;
  for (int warp = 0; warp < kThreads / kWarp; ++warp) sum += scratch[warp];
  return sum;
}

// The sum of squares of a whole matrix from its parts'. `which` is 0 for the update, 1 for the weights.
__device__ double squares(const MuonMatrix& matrix, const double* sums, int which, double* scratch) {
  const auto part = static_cast<int>(threadIdx.x);
  return block_sum(part < matrix.parts ? sums[2 * (matrix.first_part + part) + which] : 0, scratch);
}

// What is orthogonalised, from the gradient g and the new momentum b.
__device__ float update_of(const Table& table, float g, float b) {
  if (table.momentum == 0) return g;
  return table.nesterov ? g + table.momentum * b : b;
}

struct alignas(16) Four {
  float values[4];
};

__device__ void move_momentum(const Table& table, const MuonBuffers& buffers) {
  __shared__ double scratch[kThreads / kWarp];
  if (skips_update(buffers.loss_scale)) return;  // what is made of old sums in between goes nowhere
  const int block = table.matrices[0].first_part + static_cast<int>(blockIdx.x);
  const MuonMatrix& matrix = matrix_of(table, block);
  const float factor = buffers.factor == nullptr ? 1.0F : *buffers.factor;
  const float* gradients = buffers.gradients + matrix.offset;
  const float* weights = buffers.weights + matrix.offset;
  float* momentum = table.momentum == 0 ? nullptr : buffers.momentum + matrix.offset;
  double of_update = 0, of_weights = 0;
  const auto take = [&](float gradient, float& b, float weight) {
    const float g = factor * gradient;
    if (momentum != nullptr) b = table.momentum * b + g;
    const double u = update_of(table, g, b), w = weight;
    of_update += u * u;
    of_weights += w * w;
  };
  const std::int64_t count = std::int64_t{matrix.rows} * matrix.columns;
  const std::int64_t thread = std::int64_t{block - matrix.first_part} * kThreads + threadIdx.x;
  const std::int64_t threads = std::int64_t{matrix.parts} * kThreads;
  const std::int64_t packs = matrix.offset % 4 == 0 ? count / 4 : 0;
  for (std::int64_t i = thread; i < packs; i += threads) {
    const Four g = reinterpret_cast<const Four*>(gradients)[i];
    Four b{}, w{};
    if (momentum != nullptr) b = reinterpret_cast<const Four*>(momentum)[i];
    if (table.normalise_weights) w = reinterpret_cast<const Four*>(weights)[i];
#pragma unroll
    for (int j = 0; j < 4; ++j) take(g.values[j], b.values[j], w.values[j]);
    if (momentum != nullptr) reinterpret_cast<Four*>(momentum)[i] = b;
  }
  for (std::int64_t i = packs * 4 + thread; i < count; i += threads) {
    float b = momentum == nullptr ? 0 : momentum[i];
    take(gradients[i], b, table.normalise_weights ? weights[i] : 0);
    if (momentum != nullptr) momentum[i] = b;
  }
  of_update = block_sum(of_update, scratch);
  if (table.normalise_weights) of_weights = block_sum(of_weights, scratch);
  if (threadIdx.x == 0) {
    buffers.sums[2 * block] = of_update;
    buffers.sums[2 * block + 1] = of_weights;
  }
}

// A run of kMuonRun elements in a row of a matrix's copy, as this thread and block meet them one after the other.
struct Place {
  std::int64_t element;  // of the first, in the matrix
  int valid;             // how many of them the matrix has; the others are padding
};

__device__ Place place_of(const MuonMatrix& matrix, std::int64_t run) {
  const int runs = matrix.padded_columns / kMuonRun;
  const auto row = static_cast<int>(run / runs), column = static_cast<int>(run % runs) * kMuonRun;
  if (row >= matrix.rows || column >= matrix.columns) return {0, 0};
  return {std::int64_t{row} * matrix.columns + column, min(matrix.columns - column, kMuonRun)};
}

struct Values {
  float values[kMuonRun];
};

// Whole runs at multiples of 16 bytes take two accesses.
__device__ bool is_whole(const MuonMatrix& matrix, const Place& place) {
  return place.valid == kMuonRun && (matrix.offset + static_cast<std::size_t>(place.element)) % 4 == 0;
}

__device__ Values read(const float* from, const Place& place, bool is_whole) {
  Values all{};
  if (is_whole) {
    const auto* packs = reinterpret_cast<const Four*>(from + place.element);
    const Four first = packs[0], second = packs[1];
#pragma unroll
    for (int i = 0; i < 4; ++i) all.values[i] = first.values[i], all.values[4 + i] = second.values[i];
  } else {
#pragma unroll
    for (int i = 0; i < kMuonRun; ++i) {
      if (i < place.valid) all.values[i] = from[place.element + i];
    }
  }
  return all;
}

__device__ void write(float* to, const Place& place, bool is_whole, const Values& all) {
  if (is_whole) {
    auto* packs = reinterpret_cast<Four*>(to + place.element);
    packs[0] = {all.values[0], all.values[1], all.values[2], all.values[3]};
    packs[1] = {all.values[4], all.values[5], all.values[6], all.values[7]};
  } else {
#pragma unroll
    for (int i = 0; i < kMuonRun; ++i) {
      if (i < place.valid) to[place.element + i] = all.values[i];
    }
  }
}

// A run of a copy: two accesses of 16 bytes in fp32, one in bf16.
template <typename T>
struct alignas(16) CopyRun {
  T values[kMuonRun];
};

__device__ std::int64_t runs_of(const MuonMatrix& matrix) {
  return std::int64_t{matrix.padded_rows} * (matrix.padded_columns / kMuonRun);
}

template <typename T>
__device__ void gather(const Table& table, const MuonBuffers& buffers) {
  __shared__ double scratch[kThreads / kWarp];
  const int block = table.matrices[0].first_part + static_cast<int>(blockIdx.x);
  const MuonMatrix& matrix = matrix_of(table, block);
  const float factor = buffers.factor == nullptr ? 1.0F : *buffers.factor;
  const auto inverse = static_cast<float>(1 / (sqrt(squares(matrix, buffers.sums, 0, scratch)) + kNormEpsilon));
  const float* gradients = buffers.gradients + matrix.offset;
  const float* momentum = table.momentum == 0 ? nullptr : buffers.momentum + matrix.offset;
  const bool needs_gradient = table.momentum == 0 || table.nesterov;
  auto* to = reinterpret_cast<CopyRun<T>*>(static_cast<std::byte*>(buffers.copies) + matrix.start);
  const std::int64_t runs = runs_of(matrix), threads = std::int64_t{matrix.parts} * kThreads;
  for (std::int64_t run = std::int64_t{block - matrix.first_part} * kThreads + threadIdx.x; run < runs;
       run += threads) {
    const Place place = place_of(matrix, run);
    const bool whole = is_whole(matrix, place);
    const Values g = needs_gradient ? read(gradients, place, whole) : Values{};
    const Values b = momentum != nullptr ? read(momentum, place, whole) : Values{};
    CopyRun<T> scaled;
#pragma unroll
    for (int i = 0; i < kMuonRun; ++i) {
      scaled.values[i] = from_float<T>(update_of(table, factor * g.values[i], b.values[i]) * inverse);
    }
    to[run] = scaled;
  }
}

__global__ void momentum_kernel(const __grid_constant__ Table table, const __grid_constant__ MuonBuffers buffers) {
  move_momentum(table, buffers);
}

template <typename T>
__global__ void gather_kernel(const __grid_constant__ Table table, const __grid_constant__ MuonBuffers buffers) {
  gather<T>(table, buffers);
}

template <typename T>
__global__ void momentum_gather_kernel(const __grid_constant__ Table table,
                                       const __grid_constant__ MuonBuffers buffers) {
  move_momentum(table, buffers);
  wait_for_all_blocks();
  gather<T>(table, buffers);
}

// The weights of a place as narrow ones.
template <typename Narrow>
__device__ void write_narrow(void* narrow_weights, const MuonMatrix& matrix, const Place& place, const Values& all) {
  auto* to = static_cast<Narrow*>(narrow_weights) + matrix.offset + place.element;
  CopyRun<Narrow> run;
#pragma unroll
  for (int i = 0; i < kMuonRun; ++i) run.values[i] = from_float<Narrow>(all.values[i]);
  if (place.valid == kMuonRun && reinterpret_cast<std::uintptr_t>(to) % sizeof run == 0) {
    *reinterpret_cast<CopyRun<Narrow>*>(to) = run;
    return;
  }
#pragma unroll
  for (int i = 0; i < kMuonRun; ++i) {
    if (i < place.valid) to[i] = run.values[i];
  }
}

template <typename T, typename Narrow>
__global__ void apply_kernel(const __grid_constant__ Table table, const __grid_constant__ MuonBuffers buffers) {
  __shared__ double scratch[kThreads / kWarp];
  if (skips_update(buffers.loss_scale)) return;
  const int block = table.matrices[0].first_part + static_cast<int>(blockIdx.x);
  const MuonMatrix& matrix = matrix_of(table, block);
  const float rate = buffers.row->learning_rates[matrix.group];
  double wide_keep = 1 - static_cast<double>(rate) * matrix.weight_decay;
  if (table.normalise_weights) {
    const double norm = sqrt(squares(matrix, buffers.sums, 1, scratch));
    if (norm > 0) wide_keep *= sqrt(static_cast<double>(matrix.rows)) / norm;
  }
  const auto keep = static_cast<float>(wide_keep);
  float* weights = buffers.weights + matrix.offset;
  const auto* from = reinterpret_cast<const CopyRun<T>*>(static_cast<const std::byte*>(buffers.copies) + matrix.result);
  const std::int64_t runs = runs_of(matrix), threads = std::int64_t{matrix.parts} * kThreads;
  for (std::int64_t run = std::int64_t{block - matrix.first_part} * kThreads + threadIdx.x; run < runs;
       run += threads) {
    const Place place = place_of(matrix, run);
    if (place.valid == 0) continue;
    const bool whole = is_whole(matrix, place);
    const CopyRun<T> x = from[run];
    Values w = read(weights, place, whole);
#pragma unroll
    for (int i = 0; i < kMuonRun; ++i) w.values[i] = keep * w.values[i] - rate * to_float(x.values[i]);
    write(weights, place, whole, w);
    if constexpr (!std::is_same_v<Narrow, float>) write_narrow<Narrow>(buffers.narrow_weights, matrix, place, w);
  }
}

// Calls launch(table, blocks) for all matrices, as many at a time as an argument holds.
template <typename Launch>
void for_tables(const MuonArgs& args, const Launch& launch) {
  const auto matrices = static_cast<int>(args.matrices.size());
  for (int first = 0; first < matrices; first += kMatrices) {
    Table table{};
    table.count = std::min(matrices - first, kMatrices);
    std::copy_n(args.matrices.begin() + first, table.count, table.matrices);
    table.momentum = args.momentum;
    table.nesterov = args.nesterov;
    table.normalise_weights = args.normalise_weights;
    const MuonMatrix& last = table.matrices[table.count - 1];
    launch(table, dim3(static_cast<unsigned>(last.first_part + last.parts - table.matrices[0].first_part)));
  }
}

using Kernel = void (*)(Table, MuonBuffers);

void launch(Kernel kernel, const MuonArgs& args, const MuonBuffers& buffers, cudaStream_t stream) {
  for_tables(args, [&](const Table& table, dim3 blocks) {
    kernel<<<blocks, kThreads, 0, stream>>>(table, buffers);
    CHECK_CUDA(cudaGetLastError());
  });
}

Kernel momentum_gather(const MuonArgs& args) {
  return args.copy_type == DType::f32 ? momentum_gather_kernel<float> : momentum_gather_kernel<__nv_bfloat16>;
}

}  // namespace

int muon_parts(std::int64_t elements) {
  return static_cast<int>(std::clamp<std::int64_t>((elements + kPartElements - 1) / kPartElements, 1, kMostParts));
}

bool muon_start_fits_at_once(const MuonArgs& args) {
  bool fits = true;
  for_tables(args,
             [&](const Table&, dim3 blocks) { fits = fits && fits_at_once(momentum_gather(args), blocks, kThreads); });
  return fits;
}

void muon_start(const MuonArgs& args, const MuonBuffers& buffers, bool at_once, cudaStream_t stream) {
  if (at_once) {
    for_tables(args, [&](const Table& table, dim3 blocks) {
      launch_at_once(momentum_gather(args), blocks, kThreads, stream, table, buffers);
    });
    return;
  }
  launch(momentum_kernel, args, buffers, stream);
  launch(args.copy_type == DType::f32 ? gather_kernel<float> : gather_kernel<__nv_bfloat16>, args, buffers, stream);
}

void muon_apply(const MuonArgs& args, const MuonBuffers& buffers, cudaStream_t stream) {
  if (args.copy_type == DType::f32) return launch(apply_kernel<float, float>, args, buffers, stream);
  dispatch(args.narrow, [&]<typename Narrow>() { launch(apply_kernel<__nv_bfloat16, Narrow>, args, buffers, stream); });
}

}  // namespace convoy::cuda
