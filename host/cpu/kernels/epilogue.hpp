// What follows a convolution, as loops over one batch. Plain data; see table.hpp.
#pragma once

#include <cstdint>

#include "convoy/types.hpp"

namespace convoy::cpu {

// Tensors lie as [N][blocks][H][W][block]; per-channel arrays have blocks * block entries ("width" below). Pooled
// means the size after pooling; without pooling it is the input's. Null pointers: not there, or not wanted.
// Vectors (pooled to 1x1) may lie without the padding of their last block: then pooled_sample is `channels`.
struct EpilogueArgs {
  int samples = 0, blocks = 1, block = 1;
  int channels = 1;                         // without the layout's padding
  std::int64_t pooled_sample = 0;           // elements of one sample after pooling
  int height = 1, width = 1;                // of the input
  int pooled_height = 1, pooled_width = 1;  // of everything else
  int pool = 1;                             // at most 15: a window's position is kept in a byte
  int group_size = 1;                       // samples normalised together; the last group may be smaller
  int chunk_size = 1;                       // samples summed in one piece; chunks do not cross groups
  DType type = DType::f32;
  Activation activation = Activation::none;
  int threads = 1;

  const void* input = nullptr;     // before the pooling, or the pooled tensor itself with pool = 1
  const void* residual = nullptr;  // forward
  void* output = nullptr;
  void* pooled = nullptr;          // written by the forward pass that pools
  std::uint8_t* argmax = nullptr;  // [pooled elements] row * pool + column in the window
  void* preactivation = nullptr;   // written by forward_apply: what the activation was applied to

  // forward_sums: mean and sum of squared deviations per chunk; backward_sums: sum of the gradient g before the
  // activation, and of g * (x - mean). [chunks][2][width]
  double* sums = nullptr;

  // normalised = (x - mean) * factor + shift
  const float* mean = nullptr;    // [groups][width]
  const float* factor = nullptr;  // [groups][width]
  const float* shift = nullptr;   // [width]

  // backward_sums: x is `input` with pool = 1. `source` tells the derivative: the output for relu, else the
  // pre-activation; null: the normalised x. g overwrites output_gradient unless there is no activation or
  // `keep_gradient` says that nobody will read it.
  const void* source = nullptr;
  void* output_gradient = nullptr;
  bool keep_gradient = false;

  // backward_apply: input_gradient = g * factor + (x - mean) * slope + offset, unpooled; residual_gradient = g. g is
  // output_gradient times the derivative of `activation` at `source`.
  const float* slope = nullptr;   // [groups][width]; null: g itself, not normalised
  const float* offset = nullptr;  // [groups][width]
  void* input_gradient = nullptr;
  void* residual_gradient = nullptr;
};

struct EpilogueKernels {
  void (*forward_sums)(const EpilogueArgs&) = nullptr;   // pools too, where pool > 1
  void (*forward_apply)(const EpilogueArgs&) = nullptr;  // pools too, where pool > 1
  void (*backward_sums)(const EpilogueArgs&) = nullptr;
  void (*backward_apply)(const EpilogueArgs&) = nullptr;
};

}  // namespace convoy::cpu
