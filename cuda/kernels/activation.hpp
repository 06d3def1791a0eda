// The activations and their derivatives on the device. Only .cu files include it. Which one it is, is the same for all
// threads of a launch, so a branch costs next to nothing and each kernel is compiled once.
#pragma once

#include <cuda_runtime.h>

#include "convoy/types.hpp"

namespace convoy::cuda {

// Within 2 units in the last place; what would be denormal is 0.
__device__ inline float power_of_two(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// Within 1 unit in the last place; of an infinity 0.
__device__ inline float reciprocal(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// The normal distribution at x: its cumulative function, (1 + erf(x / sqrt(2))) / 2, and exp(-x^2 / 2).
struct Normal {
  float cumulative, exponential;
};

// The same formula as on the CPU: erfc(z) = t P(t) exp(-z^2), t = 1 / (1 + p z), the form of Abramowitz and Stegun
// 7.1.26 with seven coefficients, fitted for the least absolute error of erfc (3.3e-8 before rounding).
__device__ inline Normal normal_distribution(float x) {
  const float magnitude = fabsf(x);
  const float bell = power_of_two(magnitude * magnitude * -0.72134752044448170F);  // -log2(e) / 2
  const float t = reciprocal(fmaf(magnitude, 0.7F * 0.70710678118654752F, 1.0F));
  float sum = 0.5F * -0.0880252942442894F;
  sum = fmaf(sum, t, 0.5F * 0.43181347846984863F);
  sum = fmaf(sum, t, 0.5F * -0.7514110803604126F);
  sum = fmaf(sum, t, 0.5F * 0.3513488471508026F);
  sum = fmaf(sum, t, 0.5F * 0.27328458428382874F);
  sum = fmaf(sum, t, 0.5F * 0.38607582449913025F);
  sum = fmaf(sum, t, 0.5F * 0.3969135880470276F);
  const float tail = sum * t * bell;
  return {x < 0.0F ? tail : 1.0F - tail, bell};
}

// Where the exponential overflows the quotient is 0.
__device__ inline float sigmoid(float x) { return reciprocal(power_of_two(x * -1.4426950408889634F) + 1.0F); }

// GELU is the exact form, x * Phi(x), as PyTorch's default; SiLU is x * sigmoid(x). ReLU keeps a NaN.
template <int kCount>
__device__ inline void activate(Activation activation, float (&x)[kCount]) {
  switch (activation) {
    case Activation::none:
      return;
    case Activation::relu:
#pragma unroll
      for (int i = 0; i < kCount; ++i) x[i] = x[i] < 0.0F ? 0.0F : x[i];
      return;
    case Activation::gelu:
#pragma unroll
      for (int i = 0; i < kCount; ++i) x[i] *= normal_distribution(x[i]).cumulative;
      return;
    case Activation::silu:
#pragma unroll
      for (int i = 0; i < kCount; ++i) x[i] *= sigmoid(x[i]);
      return;
  }
}

// The gradient times the activation's derivative at x; for ReLU x may as well be the output.
template <int kCount>
__device__ inline void multiply_by_derivative(Activation activation, const float (&x)[kCount],
                                              float (&gradient)[kCount]) {
  switch (activation) {
    case Activation::none:
      return;
    case Activation::relu:
#pragma unroll
      for (int i = 0; i < kCount; ++i) gradient[i] = x[i] <= 0.0F ? 0.0F : gradient[i];
      return;
    case Activation::gelu:
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const Normal normal = normal_distribution(x[i]);
        gradient[i] *= fmaf(x[i] * 0.3989422804014327F, normal.exponential, normal.cumulative);
      }
      return;
    case Activation::silu:
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const float share = sigmoid(x[i]);
        gradient[i] *= share * fmaf(x[i], 1.0F - share, 1.0F);
      }
      return;
  }
}

}  // namespace convoy::cuda
