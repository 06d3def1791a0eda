// The optimizers' inner loops: one pass over a run of elements that share every constant.
#pragma once

#include <cstdint>

namespace convoy::cpu {

struct SgdConstants {
  float rate = 0, momentum = 0;
  float l2 = 0;               // decay added to the gradient
  float keep = 1;             // decoupled decay: what the weight is multiplied by first
  float gradient_factor = 1;  // clipping
};

// step * m / (sqrt(second_correction * v) + epsilon) is subtracted.
struct AdamConstants {
  float step = 0, second_correction = 1, epsilon = 0;
  float beta1 = 0, one_minus_beta1 = 1, beta2 = 0, one_minus_beta2 = 1;
  float l2 = 0, keep = 1, gradient_factor = 1;
};

struct UpdateKernels {
  void (*sgd_plain)(const SgdConstants&, float* weights, const float* gradients, std::int64_t count) = nullptr;
  void (*sgd_momentum)(const SgdConstants&, float* weights, const float* gradients, float* velocity,
                       std::int64_t count) = nullptr;
  void (*sgd_nesterov)(const SgdConstants&, float* weights, const float* gradients, float* velocity,
                       std::int64_t count) = nullptr;
  void (*adam)(const AdamConstants&, float* weights, const float* gradients, float* first_moment, float* second_moment,
               std::int64_t count) = nullptr;
  // buffer = momentum * buffer + factor * g; update = nesterov ? factor * g + momentum * buffer : buffer.
  void (*muon_momentum)(const float* gradients, float factor, float momentum, bool nesterov, float* buffer,
                        float* update, std::int64_t count) = nullptr;
  // weights = keep * weights - rate * update
  void (*muon_apply)(float* weights, const float* update, float keep, float rate, std::int64_t count) = nullptr;
};

}  // namespace convoy::cpu
