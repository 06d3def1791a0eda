// Optimizer updates as a backend plans them: over ranges of the flat fp32 weight arena, with rates read from the
// current StepRow, so that a recorded step needs no change from step to step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "convoy/loss_scale.hpp"
#include "convoy/step_row.hpp"

namespace convoy {

// Consecutive elements of the weight arena that share a group (its learning rate and decay).
struct UpdateRange {
  std::size_t offset = 0, count = 0;  // elements
  int group = 0;                      // index into StepRow::learning_rates
  float weight_decay = 0;
};

// PyTorch's SGD: d = g + decay * w; v = momentum * v + d; w -= rate * (nesterov ? d + momentum * v : v).
// With `decoupled` decay instead w -= rate * decay * w first.
struct SgdSpec {
  std::vector<UpdateRange> ranges;
  float momentum = 0;
  bool nesterov = false;
  bool decoupled = false;
};

// Adam (Kingma and Ba 2015), or AdamW (Loshchilov and Hutter 2019) with `decoupled` decay.
// `keras_epsilon`: Keras and TensorFlow add epsilon before the bias correction of the second moment:
// w -= rate * sqrt(1-b2^t)/(1-b1^t) * m / (sqrt(v) + epsilon); PyTorch: w -= rate/(1-b1^t) * m / (sqrt(v/(1-b2^t)) +
// epsilon).
struct AdamSpec {
  std::vector<UpdateRange> ranges;
  float beta1 = 0.9F, beta2 = 0.999F, epsilon = 1e-8F;
  bool decoupled = false;
  bool keras_epsilon = false;
};

// Muon (Jordan 2024): momentum, then the update orthogonalised by Newton-Schulz steps
// X <- a X + (b A + c A^2) X, A = X X^T, from X = G / (|G| + 1e-7); (a,b,c) = (3.4445, -4.7750, 2.0315), fp32.
// A GPU with --precision tf32 multiplies in TF32, with bf16 or fp16 in bf16 with fp32 sums, as the original does.
// Before the update each tensor is scaled to Frobenius norm sqrt(rows) where `normalise_weights`.
struct MuonSpec {
  struct Matrix {
    std::size_t offset = 0;     // elements
    int rows = 0, columns = 0;  // rows: output channels
    int group = 0;
    float weight_decay = 0;  // decoupled
  };
  std::vector<Matrix> matrices;
  float momentum = 0.95F;
  bool nesterov = true;
  int iterations = 5;
  bool normalise_weights = true;
};

using UpdateSpec = std::variant<SgdSpec, AdamSpec, MuonSpec>;

// All device memory. `weights`, `gradients` and each moment are whole arenas: offsets of the spec apply to each.
struct UpdateOperands {
  float* weights = nullptr;
  const float* gradients = nullptr;
  float* first_moment = nullptr;           // momentum; null where momentum is 0
  float* second_moment = nullptr;          // Adam only
  const float* gradient_factor = nullptr;  // one float that multiplies the gradients (clipping, unscaling); null: 1
  void* workspace = nullptr;
  const StepRow* row = nullptr;
  void* narrow_weights = nullptr;  // where Backend::narrow_bytes says so: changed with the weights
  // Null but in fp16. Where it skips, nothing changes; steps that it skipped are none of Adam's.
  const LossScale* loss_scale = nullptr;
};

class Update {
 public:
  Update() = default;
  Update(const Update&) = delete;
  Update& operator=(const Update&) = delete;
  virtual ~Update() = default;
  virtual std::size_t workspace_bytes() const { return 0; }
  virtual void enqueue(const UpdateOperands&) = 0;
};

}  // namespace convoy
