// The graphs that convolutions need of cuDNN: forward with what is fused into it, and the two backward passes.
// Activations are NHWC, filters OHWI, both dense; sums are in fp32 whatever the elements are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convoy/operation.hpp"
#include "cudnn/target.hpp"

namespace convoy::cuda::cudnn {

enum class Pass : std::uint8_t { forward, backward_data, backward_weights };

// By what name a graph's tensors are bound; in a backward pass to the gradient that it reads or writes in this place.
enum Role : std::int64_t { kInput = 1, kFilters, kOutput, kBias };

// One pass of a convolution over a batch, all tensors in `type`.
struct Convolution {
  Pass pass = Pass::forward;
  int batch = 0;
  Extent input, output;
  Size2 kernel, stride;
  Padding padding;
  DType type = DType::f32;
  bool bias = false, relu = false;  // of a forward pass; the bias [O] is of `type` too
};

// A ReLU brings a bias with it, of zeros where the spec has none: engines that cuDNN need not compile first fuse it so.
Convolution pass_of(const ConvSpec&, Pass, int batch, DType);

// "convolution 32x32x3 -> 31x31x24, kernel 2x2, batch 2000, backward data in bf16"
std::string describe(const Convolution&);

struct Graph {
  std::vector<Descriptor> parts;  // what `whole` refers to
  Descriptor whole{CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR};
};

Graph build(const Convolution&, const Target&);

}  // namespace convoy::cuda::cudnn
