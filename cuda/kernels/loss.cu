// Softmax cross-entropy over a batch of logits: loss, gradient and hits in one pass, one warp a row. The sums of each
// row are fp64, as are those over rows.
#include "kernels/loss.hpp"
#include "kernels/reduce.hpp"

namespace convoy::cuda {
namespace {

struct Best {
  float z;
  int c;
};

struct FirstOfLargest {
  __device__ Best operator()(const Best& a, const Best& b) const {
    return b.z > a.z || (b.z == a.z && b.c < a.c) ? b : a;
  }
};

struct Sum {
  __device__ double operator()(double a, double b) const { return a + b; }
  __device__ LossSums operator()(const LossSums& a, const LossSums& b) const {
    return {a.loss + b.loss, a.correct + b.correct, a.samples + b.samples, a.not_finite + b.not_finite};
  }
};

// One row's sums, in every lane. The order of operations is the CPU backend's; sums are in another order.
template <typename T>
__device__ LossSums row_loss(const LossArgs& args, const float* logits, int label, float loss_weight, T* gradient) {
  const int classes = args.classes, lane = static_cast<int>(threadIdx.x % kWarp);
  Best best{-INFINITY, classes};
  for (int c = lane; c < classes; c += kWarp) best = FirstOfLargest{}(best, {args.logit_scale * logits[c], c});
  best = warp_reduce(best, FirstOfLargest{});

  double sum = 0;       // of exp(z - largest)
  double sum_of_z = 0;  // of z - largest
  for (int c = lane; c < classes; c += kWarp) {
    const float z = args.logit_scale * logits[c] - best.z;
    sum += expf(z);
    sum_of_z += z;
  }
  sum = warp_reduce(sum, Sum{});
  sum_of_z = warp_reduce(sum_of_z, Sum{});
  const double smoothing = args.smoothing;
  const double z_label = args.logit_scale * logits[label] - best.z;
  const double loss = log(sum) - (1 - smoothing) * z_label - smoothing / classes * sum_of_z;

  if (gradient != nullptr) {
    const float weight = args.logit_scale * loss_weight;
    const auto inverse_sum = static_cast<float>(1 / sum);
    const float elsewhere = args.smoothing / static_cast<float>(classes);
    for (int c = lane; c < classes; c += kWarp) {
      const float p = expf(args.logit_scale * logits[c] - best.z) * inverse_sum;
      const float target = elsewhere + (c == label ? 1 - args.smoothing : 0.0F);
      gradient[c] = from_float<T>(weight * (p - target));
    }
  }
  const bool is_finite = isfinite(loss);
  return {loss, is_finite && best.c == label ? 1 : 0, 1, is_finite ? 0 : 1};
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 2)
    softmax_cross_entropy_kernel(const LossArgs args, ReductionScratch* scratch) {
  constexpr int kRows = kThreads / kWarp;  // of a block at a time
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const StepRow& row = *args.row;
  const float loss_weight = row.loss_weight * (args.loss_scale == nullptr ? 1.0F : args.loss_scale->scale);
  LossSums sums;
  for (int position = static_cast<int>(blockIdx.x) * kRows + warp; position < args.rows;
       position += static_cast<int>(gridDim.x) * kRows) {
    const std::int64_t start = std::int64_t{position} * args.classes;
    T* gradient = args.gradient == nullptr ? nullptr : static_cast<T*>(args.gradient) + start;
    if (position >= row.count) {
      for (int c = lane; gradient != nullptr && c < args.classes; c += kWarp) gradient[c] = T(0.0F);
      continue;
    }
    const int label = args.source.labels[args.source.staged ? position : args.source.order[row.first + position]];
    sums = Sum{}(sums, row_loss(args, args.logits + start, label, loss_weight, gradient));
  }
  if (lane != 0) sums = LossSums{};  // every lane holds its warp's
  grid_reduce(sums, LossSums{}, Sum{}, scratch, [&](const LossSums& total) { *args.sums = Sum{}(*args.sums, total); });
}

}  // namespace

void softmax_cross_entropy(const LossArgs& args, DType type, ReductionScratch* scratch, cudaStream_t stream) {
  if (args.rows == 0) return;
  const int blocks = std::min(blocks_for(std::int64_t{args.rows} * kWarp), kReductionBlocks);
  dispatch(type,
           [&]<typename T>() { softmax_cross_entropy_kernel<T><<<blocks, kThreads, 0, stream>>>(args, scratch); });
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace convoy::cuda
