// See dropout.hpp. One pass; a thread makes one access of 16 bytes, or of one element where a sample's elements do not
// fill such accesses, and draws the words for the elements that it holds.
#include "convoy/philox.hpp"
#include "kernels/access.hpp"
#include "kernels/dropout.hpp"

namespace convoy::cuda {
namespace {

constexpr int kWords = 4;  // of one draw

__device__ inline std::uint32_t word_of(const Random4& draw, int k) {
  return k == 0 ? draw.x : k == 1 ? draw.y : k == 2 ? draw.z : draw.w;
}

template <typename T, int kCount>
__global__ void dropout_kernel(const DropoutArgs args, float scale) {
  const unsigned accesses = args.sample_elements / kCount, all = args.samples * accesses;
  const unsigned stride = gridDim.x * blockDim.x;
  const StepRow row = {
      .seed = args.row->seed, .epoch = args.row->epoch, .first = args.row->first, .count = args.row->count};
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < all; i += stride) {
    const std::int64_t at = std::int64_t{i} * kCount;
    Access<T, kCount> access = read<T, kCount>(args.input, at);
    const int position = static_cast<int>(i / accesses);
    if (position < row.count) {
      const int element = static_cast<int>(i - position * accesses) * kCount;
      float values[kCount];
      widen(access, values);
      const auto sample = static_cast<std::uint64_t>(args.order[row.first + position]);
      const auto draw_of = [&](int first) {
        return random_bits(row.seed, Purpose::dropout, static_cast<std::uint32_t>(row.epoch),
                           (sample << 22) + static_cast<std::uint64_t>(first / kWords), args.salt);
      };
      const auto drop = [&](int k, std::uint32_t word) {
        values[k] = uniform(word) >= args.rate ? values[k] * scale : 0.0F;
      };
      if constexpr (kCount == 1) {
        drop(0, word_of(draw_of(element), element % kWords));
      } else {
#pragma unroll
        for (int first = 0; first < kCount; first += kWords) {
          const Random4 draw = draw_of(element + first);
#pragma unroll
          for (int k = 0; k < kWords; ++k) drop(first + k, word_of(draw, k));
        }
      }
      access = narrow<T>(values);
    }
    write(args.output, at, access);
  }
}

}  // namespace

// Both tensors start at multiples of kAlignment.
void dropout(const DropoutArgs& args, cudaStream_t stream) {
  const float scale = 1.0F / (1.0F - args.rate);
  dispatch(args.type, [&]<typename T>() {
    constexpr int kCount = Pack<T>::kCount;
    const std::int64_t elements = std::int64_t{args.samples} * args.sample_elements;
    if (args.sample_elements % kCount == 0) {
      dropout_kernel<T, kCount><<<blocks_for(elements / kCount), kThreads, 0, stream>>>(args, scale);
    } else {
      dropout_kernel<T, 1><<<blocks_for(elements), kThreads, 0, stream>>>(args, scale);
    }
  });
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace convoy::cuda
