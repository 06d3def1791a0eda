// Element by element: to[i] = function(to[i], from[i]), each with the roundings of the CPU backend. Reductions: over
// 32-bit words with their indices, in an order that depends on the count alone.
#include "convoy/checksum.hpp"
#include "kernels/arena.hpp"
#include "kernels/reduce.hpp"

namespace convoy::cuda {
namespace {

template <typename T, typename Function>
__global__ void combine_kernel(T* to, const T* from, std::size_t packs, std::size_t count, Function function,
                               DeviceMark* left) {
  constexpr int kCount = Pack<T>::kCount;
  const std::size_t stride = std::size_t{gridDim.x} * blockDim.x;
  const std::size_t thread = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (left != nullptr && thread == 0) left->is_waiting = 0;
  for (std::size_t pack = thread; pack < packs; pack += stride) {
    Pack<T> a = reinterpret_cast<const Pack<T>*>(to)[pack];
    const Pack<T> b = reinterpret_cast<const Pack<T>*>(from)[pack];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      a.values[i] = from_float<T>(function(to_float(a.values[i]), to_float(b.values[i])));
    }
    reinterpret_cast<Pack<T>*>(to)[pack] = a;
  }
  for (std::size_t i = packs * kCount + thread; i < count; i += stride) {
    to[i] = from_float<T>(function(to_float(to[i]), to_float(from[i])));
  }
}

template <typename T, typename Function>
void combine(T* to, const T* from, std::size_t count, const Function& function, cudaStream_t stream,
             DeviceMark* left = nullptr) {
  if (count == 0) return;
  const std::size_t packs = is_aligned(to) && is_aligned(from) ? count / Pack<T>::kCount : 0;
  const std::size_t work = packs > 0 ? packs : count;
  combine_kernel<<<blocks_for(static_cast<std::int64_t>(work)), kThreads, 0, stream>>>(to, from, packs, count, function,
                                                                                       left);
  CHECK_CUDA(cudaGetLastError());
}

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};

struct ScaledSum {
  float factor;
  __device__ float operator()(float a, float b) const { return a + factor * b; }
};

struct Scaled {
  float factor;
  __device__ float operator()(float, float b) const { return factor * b; }
};

struct SumOfSquares {
  using Value = double;
  static constexpr Value kNone = 0;
  static __device__ Value of(std::uint32_t word, std::uint64_t) {
    const double value = __uint_as_float(word);
    return value * value;
  }
  __device__ Value operator()(Value a, Value b) const { return a + b; }
};

struct Checksum {
  using Value = std::uint64_t;
  static constexpr Value kNone = 0;
  static __device__ Value of(std::uint32_t word, std::uint64_t index) { return checksum_mix(word, index); }
  __device__ Value operator()(Value a, Value b) const { return a + b; }
};

struct FirstNotFinite {
  using Value = std::uint64_t;
  static constexpr Value kNone = ~std::uint64_t{0};  // as a signed number -1
  static __device__ Value of(std::uint32_t word, std::uint64_t index) {
    constexpr std::uint32_t kExponent = 0x7F800000u;
    return (word & kExponent) == kExponent ? index : kNone;
  }
  __device__ Value operator()(Value a, Value b) const { return a < b ? a : b; }
};

constexpr int kWords = Pack<std::uint32_t>::kCount;

template <typename Reduction, typename Finish>
__global__ void __launch_bounds__(kThreads) reduce_kernel(const std::uint32_t* words, std::size_t count,
                                                          bool is_aligned, ReductionScratch* scratch, Finish finish) {
  const std::size_t stride = std::size_t{gridDim.x} * kThreads;
  typename Reduction::Value value = Reduction::kNone;
  for (std::size_t pack = std::size_t{blockIdx.x} * kThreads + threadIdx.x; pack * kWords < count; pack += stride) {
    const std::size_t first = pack * kWords;
    if (is_aligned && first + kWords <= count) {
      const auto read = reinterpret_cast<const Pack<std::uint32_t>*>(words)[pack];
#pragma unroll
      for (int i = 0; i < kWords; ++i) value = Reduction{}(value, Reduction::of(read.values[i], first + i));
    } else {
      for (std::size_t i = first; i < first + kWords && i < count; ++i) {
        value = Reduction{}(value, Reduction::of(words[i], i));
      }
    }
  }
  grid_reduce(value, Reduction::kNone, Reduction{}, scratch, finish);
}

// The blocks of a reduction over so many words: they fix its order.
int reduction_blocks(std::size_t count) {
  return std::min(blocks_for(static_cast<std::int64_t>(count / kWords)), kReductionBlocks);
}

template <typename Reduction, typename Finish>
void reduce(const void* words, std::size_t count, ReductionScratch* scratch, const Finish& finish,
            cudaStream_t stream) {
  reduce_kernel<Reduction><<<reduction_blocks(count), kThreads, 0, stream>>>(static_cast<const std::uint32_t*>(words),
                                                                             count, is_aligned(words), scratch, finish);
  CHECK_CUDA(cudaGetLastError());
}

template <typename T>
struct alignas(kWords * sizeof(T)) NarrowPack {
  T values[kWords];
};

// Squares are summed in the order of reduce_kernel.
template <typename T>
__global__ void __launch_bounds__(kThreads, 2)
    mean_of_sums_kernel(float* values, std::size_t count, float factor, T* narrow, std::size_t squared, double* result,
                        bool is_aligned, DeviceMark* left, ReductionScratch* scratch) {
  const std::size_t stride = std::size_t{gridDim.x} * kThreads;
  if (left != nullptr && blockIdx.x == 0 && threadIdx.x == 0) left->is_waiting = 0;
  double square = 0;
  const auto add_square = [&square, squared](double mean, std::size_t i) {
    if (i < squared) square += mean * mean;
  };
  for (std::size_t pack = std::size_t{blockIdx.x} * kThreads + threadIdx.x; pack * kWords < count; pack += stride) {
    const std::size_t first = pack * kWords;
    if (is_aligned && first + kWords <= count) {
      auto means = reinterpret_cast<const Pack<float>*>(values)[pack];
      NarrowPack<T> narrow_means;
#pragma unroll
      for (int i = 0; i < kWords; ++i) {
        means.values[i] *= factor;
        narrow_means.values[i] = from_float<T>(means.values[i]);
        add_square(means.values[i], first + i);
      }
      reinterpret_cast<Pack<float>*>(values)[pack] = means;
      if (narrow != nullptr) reinterpret_cast<NarrowPack<T>*>(narrow)[pack] = narrow_means;
    } else {
      for (std::size_t i = first; i < first + kWords && i < count; ++i) {
        values[i] *= factor;
        if (narrow != nullptr) narrow[i] = from_float<T>(values[i]);
        add_square(values[i], i);
      }
    }
  }
  if (result == nullptr) return;
  grid_reduce(square, 0.0, SumOfSquares{}, scratch, [result](double sum) { *result = sum; });
}

}  // namespace

void accumulate_logits(const float* logits, float weight, bool first, std::size_t count, float* sum,
                       cudaStream_t stream) {
  if (first) {
    combine(sum, logits, count, Scaled{weight}, stream);
  } else {
    add_scaled(sum, weight, logits, count, stream);
  }
}

void add_gradient(std::size_t count, DType type, void* a, const void* b, cudaStream_t stream) {
  dispatch(type, [&]<typename T>() { combine(static_cast<T*>(a), static_cast<const T*>(b), count, Sum{}, stream); });
}

void add_scaled(float* a, float factor, const float* b, std::size_t count, cudaStream_t stream) {
  combine(a, b, count, ScaledSum{factor}, stream);
}

void scale(float* a, float factor, std::size_t count, DeviceMark* left, cudaStream_t stream) {
  combine(a, a, count, Scaled{factor}, stream, left);
}

void mean_of_sums(const MeanArgs& args, DType compute, DeviceMark* left, ReductionScratch* scratch,
                  cudaStream_t stream) {
  const int blocks = args.square != nullptr ? reduction_blocks(args.squared)
                                            : blocks_for(static_cast<std::int64_t>(args.count / kWords));
  const bool all_aligned = is_aligned(args.values) && is_aligned(args.narrow_values);
  dispatch(compute, [&]<typename T>() {
    mean_of_sums_kernel<T><<<blocks, kThreads, 0, stream>>>(args.values, args.count, args.factor,
                                                            static_cast<T*>(args.narrow_values), args.squared,
                                                            args.square, all_aligned, left, scratch);
  });
  CHECK_CUDA(cudaGetLastError());
}

void sum_of_squares(const float* values, std::size_t count, ReductionScratch* scratch, cudaStream_t stream) {
  auto* result = reinterpret_cast<double*>(scratch);
  const auto finish = [=] __device__(double sum) { *result = sum; };
  reduce<SumOfSquares>(values, count, scratch, finish, stream);
}

// Squares of fp32 values do not overflow in fp64: their sum is finite where all of them are.
void clip_factor(const float* gradients, std::size_t count, float limit, float* factor, float* norm,
                 LossScale* loss_scale, ReductionScratch* scratch, cudaStream_t stream) {
  const auto finish = [=] __device__(double sum) {
    const float inverse = loss_scale == nullptr ? 1.0F : 1 / loss_scale->scale;
    const double length = inverse * sqrt(sum);
    *norm = static_cast<float>(length);
    // A norm that is NaN leaves the gradients as they are, for the finite check to find.
    *factor = inverse * (length > limit ? static_cast<float>(limit / length) : 1.0F);
    if (loss_scale != nullptr) judge(*loss_scale, isfinite(sum));
  };
  reduce<SumOfSquares>(gradients, count, scratch, finish, stream);
}

void checksum(const void* device, std::size_t bytes, ReductionScratch* scratch, cudaStream_t stream) {
  const std::size_t whole_words = bytes / 4;
  auto* result = reinterpret_cast<std::uint64_t*>(scratch);
  const auto finish = [=] __device__(std::uint64_t sum) {
    std::uint32_t last = 0;
    for (std::size_t i = whole_words * 4; i < bytes; ++i) {
      last |= std::uint32_t{static_cast<const std::uint8_t*>(device)[i]} << (8 * (i % 4));
    }
    *result = sum + (bytes % 4 == 0 ? 0 : checksum_mix(last, whole_words));
  };
  reduce<Checksum>(device, whole_words, scratch, finish, stream);
}

void first_not_finite(const float* values, std::size_t count, ReductionScratch* scratch, cudaStream_t stream) {
  auto* result = reinterpret_cast<std::uint64_t*>(scratch);
  const auto finish = [=] __device__(std::uint64_t index) { *result = index; };
  reduce<FirstNotFinite>(values, count, scratch, finish, stream);
}

}  // namespace convoy::cuda
