// What follows a convolution: max-pool, normalisation, residual addition, activation, and the way back. Training with
// batch statistics takes two passes each way: one makes the sums of every channel (and pools), one applies them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "convoy/step_row.hpp"
#include "convoy/types.hpp"

namespace convoy::cuda {

struct EpilogueShape {
  int samples = 0, channels = 1;
  int height = 1, width = 1;                // of the input
  int pooled_height = 1, pooled_width = 1;  // of everything else
  int pool = 1;                             // at most 15: a window's position is kept in a byte
  int group_size = 1;                       // samples normalised together; the last group may be smaller
};

// Tensors lie [N,H,W,C]; pooled means the size after pooling; without pooling it is the input's. Null pointers: not
// there, or not wanted.
struct EpilogueArgs {
  EpilogueShape shape;
  DType type = DType::f32;
  Activation activation = Activation::none;
  float epsilon = 0, statistics_momentum = 0;
  const StepRow* row = nullptr;  // samples from row->count on are padding: zeros in every result; null: none is

  const void* input = nullptr;     // before the pooling, or the pooled tensor itself with pool = 1
  const void* residual = nullptr;  // forward
  void* output = nullptr;
  void* pooled = nullptr;           // written by the forward pass that pools
  unsigned char* argmax = nullptr;  // [pooled elements] row * pool + column in the window
  void* preactivation = nullptr;    // what the activation was applied to

  // The normalisation: (x - mean) * factor + shift. From `mean` and `factor`, or, where `mean` is null, from the
  // running statistics; neither: none.
  const float* scale = nullptr;                                            // [channels]
  const float* shift = nullptr;                                            // [channels]
  float *running_mean = nullptr, *running_variance = nullptr;              // [channels]; moved by epilogue_forward
  float *mean = nullptr, *factor = nullptr, *inverse_deviation = nullptr;  // [groups, channels], by epilogue_forward
  float *slope = nullptr, *offset = nullptr;                               // [groups, channels], by backward_sums
  // [channels], by backward_sums; where `mean` is null shift_gradient is the sum of g alone.
  float *scale_gradient = nullptr, *shift_gradient = nullptr;

  // Both passes back multiply output_gradient by the activation's derivative at `source`: the output for relu, else
  // the pre-activation; null: at the normalised input. The product is g.
  // backward_apply: input_gradient = g * factor + (x - mean) * slope + offset, or g itself where `slope` is null,
  // un-pooled; residual_gradient = g.
  const void* source = nullptr;
  const void* output_gradient = nullptr;
  void* input_gradient = nullptr;
  void* residual_gradient = nullptr;

  void* workspace = nullptr;     // epilogue_workspace bytes, for both passes that sum
  unsigned* counters = nullptr;  // epilogue_counters of them, zero before the first launch and after each
};

std::size_t epilogue_workspace(const EpilogueArgs&);  // bytes
int epilogue_counters(const EpilogueArgs&);

// With the batch's statistics: two kernels, or one whose blocks wait for each other, on a device that has room for all.
void epilogue_forward(const EpilogueArgs&, bool at_once, cudaStream_t);  // pools too, where pool > 1
bool epilogue_forward_fits_at_once(const EpilogueArgs&);                 // on the current device, where it is idle
void epilogue_forward_apply(const EpilogueArgs&, cudaStream_t);          // without statistics; pools too
void epilogue_backward_sums(const EpilogueArgs&, cudaStream_t);
void epilogue_backward_apply(const EpilogueArgs&, cudaStream_t);

}  // namespace convoy::cuda
