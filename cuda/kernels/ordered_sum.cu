// A thread an element, or four where 16 bytes can be read at once: every vector is read once.
#include "kernels/launch.hpp"
#include "kernels/ordered_sum.hpp"

namespace convoy::cuda {
namespace {

// Elements are of T: float, or Pack<float>, whose stride and count are then four times less.
__device__ float plus(float a, float b) { return a + b; }
__device__ Pack<float> plus(Pack<float> a, const Pack<float>& b) {
#pragma unroll
  for (int i = 0; i < Pack<float>::kCount; ++i) a.values[i] += b.values[i];
  return a;
}

template <typename T>
__global__ void sum_in_order_kernel(T* own, const T* others, std::size_t stride, int rank, int ranks,
                                    std::size_t count) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    T sum = rank == 0 ? own[i] : others[i];
    for (int r = 1; r < ranks; ++r) sum = plus(sum, r == rank ? own[i] : others[(r < rank ? r : r - 1) * stride + i]);
    own[i] = sum;
  }
}

template <typename T>
void launch(T* own, const T* others, std::size_t stride, int rank, int ranks, std::size_t count, cudaStream_t stream) {
  if (count == 0) return;
  sum_in_order_kernel<<<blocks_for(static_cast<std::int64_t>(count)), kThreads, 0, stream>>>(own, others, stride, rank,
                                                                                             ranks, count);
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace

void sum_in_order(float* own, const float* others, std::size_t stride, int rank, int ranks, std::size_t count,
                  cudaStream_t stream) {
  constexpr int kPack = Pack<float>::kCount;
  const bool has_packs = is_aligned(own) && is_aligned(others) && stride % kPack == 0;
  const std::size_t packs = has_packs ? count / kPack : 0, rest = packs * kPack;
  launch(reinterpret_cast<Pack<float>*>(own), reinterpret_cast<const Pack<float>*>(others), stride / kPack, rank, ranks,
         packs, stream);
  launch(own + rest, others + rest, stride, rank, ranks, count - rest, stream);
}

}  // namespace convoy::cuda
