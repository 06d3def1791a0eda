// One pass over weights, gradients and moments, a block of threads to each block of the update. The order of operations
// is the CPU backend's, and all of them round correctly: every weight is equal to its to the bit.
#include "convoy/adam_correction.hpp"
#include "kernels/launch.hpp"
#include "kernels/update.hpp"

namespace convoy::cuda {
namespace {

using Floats = Pack<float>;
constexpr int kPacks = kUpdateBlock / (kThreads * Floats::kCount);
static_assert(kPacks * kThreads * Floats::kCount == kUpdateBlock);

// What the step and a block's group make of the settings.
struct Constants {
  bool skips;    // the step has no update
  float factor;  // of the gradients: clipping, unscaling
  float l2;      // decay added to the gradient
  float keep;    // decoupled decay: what the weight is multiplied by first
  float rate;    // Adam's with the correction
  float second_correction;
};

template <typename Settings>
__device__ Constants common_constants(const Settings& settings, const UpdateBlock& block,
                                      const UpdateOperands& operands) {
  Constants k;
  k.skips = skips_update(operands.loss_scale);
  k.factor = operands.gradient_factor == nullptr ? 1.0F : *operands.gradient_factor;
  k.rate = operands.row->learning_rates[block.group];
  k.l2 = settings.decoupled ? 0.0F : block.weight_decay;
  k.keep = settings.decoupled ? 1.0F - k.rate * block.weight_decay : 1.0F;
  k.second_correction = 1;
  return k;
}

// A rule updates one weight and as many moments as it has.
template <bool has_momentum>
struct Sgd {
  static constexpr int kMoments = has_momentum ? 1 : 0;
  SgdSettings settings;

  __device__ Constants constants(const UpdateBlock& block, const UpdateOperands& operands) const {
    return common_constants(settings, block, operands);
  }

  __device__ void update(const Constants& k, float& weight, float gradient, float* moments) const {
    const float d = k.factor * gradient + k.l2 * weight;
    float step = d;
    if constexpr (has_momentum) {
      const float v = settings.momentum * moments[0] + d;
      moments[0] = v;
      step = settings.nesterov ? d + settings.momentum * v : v;
    }
    weight = k.keep * weight - k.rate * step;
  }
};

struct Adam {
  static constexpr int kMoments = 2;
  AdamSettings settings;

  __device__ Constants constants(const UpdateBlock& block, const UpdateOperands& operands) const {
    Constants k = common_constants(settings, block, operands);
    const auto skipped = operands.loss_scale == nullptr ? 0 : static_cast<std::int64_t>(operands.loss_scale->skipped);
    const AdamCorrection correction =
        adam_correction(settings.beta1, settings.beta2, settings.keras_epsilon, operands.row->step + 1 - skipped);
    k.rate = static_cast<float>(k.rate * correction.step);
    k.second_correction = static_cast<float>(correction.second);
    return k;
  }

  __device__ void update(const Constants& k, float& weight, float gradient, float* moments) const {
    const float g = k.factor * gradient + k.l2 * weight;
    const float m = settings.beta1 * moments[0] + settings.one_minus_beta1 * g;
    const float v = settings.beta2 * moments[1] + settings.one_minus_beta2 * (g * g);
    moments[0] = m;
    moments[1] = v;
    weight = k.keep * weight - k.rate * m / (sqrtf(k.second_correction * v) + settings.epsilon);
  }
};

// Weights in the type of the narrow ones, next to the fp32 that they are made from; of float there are none.
template <typename Narrow>
struct NarrowWeights {
  struct alignas(sizeof(Narrow) * Floats::kCount) NarrowPack {
    Narrow values[Floats::kCount];
  };
  Narrow* data;

  __device__ bool can_take_packs() const { return reinterpret_cast<std::uintptr_t>(data) % sizeof(NarrowPack) == 0; }
  __device__ void write(int pack, const Floats& weights) const {
    NarrowPack narrow;
#pragma unroll
    for (int i = 0; i < Floats::kCount; ++i) narrow.values[i] = from_float<Narrow>(weights.values[i]);
    reinterpret_cast<NarrowPack*>(data)[pack] = narrow;
  }
  __device__ void write_one(int i, float weight) const { data[i] = from_float<Narrow>(weight); }
};

template <>
struct NarrowWeights<float> {
  float* data;
  __device__ bool can_take_packs() const { return true; }
  __device__ void write(int, const Floats&) const {}
  __device__ void write_one(int, float) const {}
};

template <typename Narrow, typename Rule>
__global__ void __launch_bounds__(kThreads)
    update_kernel(const UpdateBlock* blocks, const Rule rule, const UpdateOperands operands) {
  constexpr int kMoments = Rule::kMoments;
  constexpr int kRoom = kMoments == 0 ? 1 : kMoments;  // no array is empty
  __shared__ Constants shared;
  const UpdateBlock block = blocks[blockIdx.x];
  const int count = static_cast<int>(block.count), thread = static_cast<int>(threadIdx.x);
  float* const weights = operands.weights + block.offset;
  const float* const gradients = operands.gradients + block.offset;
  const NarrowWeights<Narrow> narrow{static_cast<Narrow*>(operands.narrow_weights) + block.offset};
  float* const given[] = {operands.first_moment, operands.second_moment};
  float* moments[kRoom];
#pragma unroll
  for (int m = 0; m < kMoments; ++m) moments[m] = given[m] + block.offset;

  auto addresses = reinterpret_cast<std::uintptr_t>(weights) | reinterpret_cast<std::uintptr_t>(gradients);
#pragma unroll
  for (int m = 0; m < kMoments; ++m) addresses |= reinterpret_cast<std::uintptr_t>(moments[m]);
  const bool is_packed =
      addresses % sizeof(Floats) == 0 && narrow.can_take_packs();  // as whole tensors of an arena are
  const int packs = is_packed ? count / Floats::kCount : 0;

  // Loads are under way while one thread works out the constants.
  Floats w[kPacks], g[kPacks], state[kPacks][kRoom];
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int pack = p * kThreads + thread;
    if (pack >= packs) continue;
    w[p] = reinterpret_cast<const Floats*>(weights)[pack];
    g[p] = reinterpret_cast<const Floats*>(gradients)[pack];
#pragma unroll
    for (int m = 0; m < kMoments; ++m) state[p][m] = reinterpret_cast<const Floats*>(moments[m])[pack];
  }
  if (thread == 0) shared = rule.constants(block, operands);
  __syncthreads();
  const Constants k = shared;
  if (k.skips) return;

#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int pack = p * kThreads + thread;
    if (pack >= packs) continue;
#pragma unroll
    for (int i = 0; i < Floats::kCount; ++i) {
      float values[kRoom];
#pragma unroll
      for (int m = 0; m < kMoments; ++m) values[m] = state[p][m].values[i];
      rule.update(k, w[p].values[i], g[p].values[i], values);
#pragma unroll
      for (int m = 0; m < kMoments; ++m) state[p][m].values[i] = values[m];
    }
    reinterpret_cast<Floats*>(weights)[pack] = w[p];
    narrow.write(pack, w[p]);
#pragma unroll
    for (int m = 0; m < kMoments; ++m) reinterpret_cast<Floats*>(moments[m])[pack] = state[p][m];
  }
  for (int i = packs * Floats::kCount + thread; i < count; i += kThreads) {
    float values[kRoom];
#pragma unroll
    for (int m = 0; m < kMoments; ++m) values[m] = moments[m][i];
    rule.update(k, weights[i], gradients[i], values);
    narrow.write_one(i, weights[i]);
#pragma unroll
    for (int m = 0; m < kMoments; ++m) moments[m][i] = values[m];
  }
}

template <typename Rule>
void update(const UpdateBlock* blocks, int count, const Rule& rule, const UpdateOperands& operands, DType narrow,
            cudaStream_t stream) {
  if (count == 0) return;
  dispatch(narrow, [&]<typename Narrow>() {
    update_kernel<Narrow><<<static_cast<unsigned>(count), kThreads, 0, stream>>>(blocks, rule, operands);
  });
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace

void update_sgd(const UpdateBlock* blocks, int count, const SgdSettings& settings, const UpdateOperands& operands,
                DType narrow, cudaStream_t stream) {
  if (settings.momentum == 0) {
    update(blocks, count, Sgd<false>{settings}, operands, narrow, stream);
  } else {
    update(blocks, count, Sgd<true>{settings}, operands, narrow, stream);
  }
}

void update_adam(const UpdateBlock* blocks, int count, const AdamSettings& settings, const UpdateOperands& operands,
                 DType narrow, cudaStream_t stream) {
  update(blocks, count, Adam{settings}, operands, narrow, stream);
}

}  // namespace convoy::cuda
