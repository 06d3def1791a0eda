// The update kernels; compiled once per instruction set. No contraction and only correctly rounded operations:
// every instruction set gives the same bits.
#include "cpu/kernels/update.hpp"

#include "cpu/kernels/providers.hpp"

namespace convoy::cpu::CONVOY_ISA {
namespace {

void sgd_plain(const SgdConstants& k, float* __restrict weights, const float* __restrict gradients,
               std::int64_t count) {
  const float rate = k.rate, l2 = k.l2, keep = k.keep, factor = k.gradient_factor;
  for (std::int64_t i = 0; i < count; ++i) {
    const float d = factor * gradients[i] + l2 * weights[i];
    weights[i] = keep * weights[i] - rate * d;
  }
}

template <bool nesterov>
void sgd_with_momentum(const SgdConstants& k, float* __restrict weights, const float* __restrict gradients,
                       float* __restrict velocity, std::int64_t count) {
  const float rate = k.rate, momentum = k.momentum, l2 = k.l2, keep = k.keep, factor = k.gradient_factor;
  for (std::int64_t i = 0; i < count; ++i) {
    const float d = factor * gradients[i] + l2 * weights[i];
    const float v = momentum * velocity[i] + d;
    velocity[i] = v;
    weights[i] = keep * weights[i] - rate * (nesterov ? d + momentum * v : v);
  }
}

void adam(const AdamConstants& k, float* __restrict weights, const float* __restrict gradients,
          float* __restrict first_moment, float* __restrict second_moment, std::int64_t count) {
  const AdamConstants c = k;
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = c.gradient_factor * gradients[i] + c.l2 * weights[i];
    const float m = c.beta1 * first_moment[i] + c.one_minus_beta1 * g;
    const float v = c.beta2 * second_moment[i] + c.one_minus_beta2 * (g * g);
    first_moment[i] = m;
    second_moment[i] = v;
    weights[i] = c.keep * weights[i] - c.step * m / (__builtin_sqrtf(c.second_correction * v) + c.epsilon);
  }
}

void muon_momentum(const float* __restrict gradients, float factor, float momentum, bool nesterov,
                   float* __restrict buffer, float* __restrict update, std::int64_t count) {
  const float from_gradient = nesterov ? factor : 0.0F;
  const float from_buffer = nesterov ? momentum : 1.0F;
  for (std::int64_t i = 0; i < count; ++i) {
    const float b = momentum * buffer[i] + factor * gradients[i];
    buffer[i] = b;
    update[i] = from_gradient * gradients[i] + from_buffer * b;
  }
}

void muon_apply(float* __restrict weights, const float* __restrict update, float keep, float rate, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) weights[i] = keep * weights[i] - rate * update[i];
}

}  // namespace

UpdateKernels update_kernels() {
  return {.sgd_plain = sgd_plain,
          .sgd_momentum = sgd_with_momentum<false>,
          .sgd_nesterov = sgd_with_momentum<true>,
          .adam = adam,
          .muon_momentum = muon_momentum,
          .muon_apply = muon_apply};
}

}  // namespace convoy::cpu::CONVOY_ISA
