// What Muon does beside its products, for all matrices in one launch each: momentum with the scaled copy that the
// products start from, and the step.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "convoy/loss_scale.hpp"
#include "convoy/step_row.hpp"
#include "convoy/types.hpp"

namespace convoy::cuda {

constexpr int kMuonRun = 8;  // elements that a thread moves together; rows in the workspace are multiples of it

// One matrix and its places. Sums of squares are taken in parts, whose number depends on the size alone.
struct MuonMatrix {
  std::size_t offset = 0;  // elements, in weights, gradients and momentum
  int rows = 0, columns = 0;
  int group = 0;
  float weight_decay = 0;
  int first_part = 0, parts = 0;
  int padded_rows = 0, padded_columns = 0;  // of its copy, whose columns are a multiple of kMuonRun
  std::size_t start = 0, result = 0;        // bytes into the copies: where the products start, where they end
};

int muon_parts(std::int64_t elements);

struct MuonArgs {
  std::vector<MuonMatrix> matrices;
  int parts = 0;  // of all matrices
  float momentum = 0;
  bool nesterov = false, normalise_weights = false;
  DType copy_type = DType::f32;  // f32 or bf16
  DType narrow = DType::f32;     // of the narrow weights; f32: there are none
};

struct MuonBuffers {
  float* weights = nullptr;
  void* narrow_weights = nullptr;
  const float* gradients = nullptr;
  float* momentum = nullptr;      // null where momentum is 0
  const float* factor = nullptr;  // one float that multiplies the gradients; null: 1
  const StepRow* row = nullptr;
  const LossScale* loss_scale = nullptr;  // null: none
  double* sums = nullptr;                 // [parts, 2]: squares of the update, of the weights
  void* copies = nullptr;                 // at a multiple of kAlignment
};

// momentum <- args.momentum * momentum + g; the sums.
// start <- update / (|update| + 1e-7), zero beyond the matrix; the update is momentum, or Nesterov's look ahead.
// Two kernels, or one whose blocks wait for each other, on a device that has room for all.
void muon_start(const MuonArgs&, const MuonBuffers&, bool at_once, cudaStream_t stream);
bool muon_start_fits_at_once(const MuonArgs&);  // on the current device, where it is idle
// weights <- keep * weights - rate * result, with the decay and, where asked, the projection in `keep`.
void muon_apply(const MuonArgs&, const MuonBuffers&, cudaStream_t stream);

}  // namespace convoy::cuda
