// See relu.hpp. One pass, 16 bytes a thread and access.
#include "kernels/launch.hpp"
#include "kernels/relu.hpp"

namespace convoy::cuda {
namespace {

template <typename T>
__global__ void relu_backward_kernel(const T* output, std::size_t count, T* gradient) {
  constexpr int kCount = Pack<T>::kCount;
  const T zero = from_float<T>(0.0F);
  const std::size_t packs = count / kCount, stride = std::size_t{gridDim.x} * blockDim.x;
  const std::size_t thread = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (std::size_t pack = thread; pack < packs; pack += stride) {
    const Pack<T> out = reinterpret_cast<const Pack<T>*>(output)[pack];
    Pack<T> values = reinterpret_cast<const Pack<T>*>(gradient)[pack];
#pragma unroll
    for (int i = 0; i < kCount; ++i) values.values[i] = to_float(out.values[i]) <= 0 ? zero : values.values[i];
    reinterpret_cast<Pack<T>*>(gradient)[pack] = values;
  }
  for (std::size_t i = packs * kCount + thread; i < count; i += stride) {
    if (to_float(output[i]) <= 0) gradient[i] = zero;
  }
}

}  // namespace

// Both tensors start at multiples of kAlignment in their arenas.
void relu_backward(const void* output, DType type, std::size_t count, void* gradient, cudaStream_t stream) {
  dispatch(type, [&]<typename T>() {
    const auto packs = static_cast<std::int64_t>(count / Pack<T>::kCount);
    relu_backward_kernel<<<blocks_for(packs), kThreads, 0, stream>>>(static_cast<const T*>(output), count,
                                                                     static_cast<T*>(gradient));
  });
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace convoy::cuda
