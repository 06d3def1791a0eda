// The lowered operations: what a backend must plan. A spec holds logical shapes of one sample; the batch size and
// the mode come with the plan. Activations are [N,H,W,C] logically; the backend chooses how they lie.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "convoy/step_row.hpp"
#include "convoy/types.hpp"

namespace convoy {

// Convolution + bias + activation. Only `none` and `relu`: their derivative follows from the output.
// Filters [O,H,W,I] fp32; bias [O] fp32.
struct ConvSpec {
  Extent input, output;
  Size2 kernel, stride;
  Padding padding;
  bool bias = false;
  Activation activation = Activation::none;
  bool weights_gradient = true;  // false: frozen filters
  bool bias_gradient = true;
  bool input_gradient = true;  // false: nothing trainable lies before it
};

// What follows a convolution: max-pool (kernel = stride = `pool`, floor), batch normalisation, residual addition,
// activation, in this order, each optional. Scale [C], shift [C] fp32; running mean and variance [C] fp32.
// Running statistics: r = (1 - momentum) r + momentum * batch, with the unbiased variance, as PyTorch does.
struct EpilogueSpec {
  Extent input, output;
  int pool = 1;
  bool normalise = false;
  float epsilon = 1e-5F;
  float statistics_momentum = 0.1F;                   // the share of the new value
  int group_size = 0;                                 // samples normalised together; 0: the batch
  bool scale_gradient = true, shift_gradient = true;  // false: fixed
  bool residual = false;
  Activation activation = Activation::none;
  bool input_gradient = true, residual_gradient = true;
  // Of a smooth activation alone: not the input's gradient but its sum over samples and pixels, which is the gradient
  // of a bias in the operation before, is wanted, as bias_gradient.
  bool bias_gradient = false;
};

// Any other pooling. Average divides by the pixels inside the image (PyTorch's count_include_pad=False).
struct PoolSpec {
  enum class Kind : std::uint8_t { max, average };
  Extent input, output;
  Kind kind = Kind::max;
  Size2 kernel, stride;
  Padding padding;
  bool input_gradient = true;
};

// output = activation(input . weights + bias); weights [O, H*W*C in this order] fp32; bias [O] fp32.
struct DenseSpec {
  Extent input;
  int outputs = 0;
  bool bias = false;
  Activation activation = Activation::none;  // none or relu
  bool float_output = false;                 // logits: fp32 rows [N, outputs] whatever the compute type
  bool weights_gradient = true, bias_gradient = true, input_gradient = true;
};

// Zeroes elements with probability `rate`, scales the rest by 1/(1-rate). The mask of element e (HWC order) of a
// sample is word e%4 of random_bits(seed, dropout, epoch, sample * 2^22 + e/4, salt): kept where
// uniform(word) >= rate. Recomputed in backward.
struct DropoutSpec {
  Extent input;
  float rate = 0.5F;
  std::uint32_t salt = 0;  // the layer's number
  bool input_gradient = true;
};

using OperationSpec = std::variant<ConvSpec, EpilogueSpec, PoolSpec, DenseSpec, DropoutSpec>;

// The memory planner's input. Bytes for the planned batch.
struct Needs {
  std::size_t output = 0;
  std::size_t input_gradient = 0;
  std::size_t saved = 0;          // written by forward, read by backward
  std::size_t workspace = 0;      // free again after each call
  std::size_t weight_copies = 0;  // weights in a layout of the operation's own, see Operation::refresh
  bool narrow_gradient = false;   // backward_weights writes narrow_weights_gradient, for the caller to widen
  bool backward_reads_input = false;
  bool backward_reads_output = false;
  bool forward_in_place = false;   // output may be input's memory where nobody else reads the input afterwards
  bool gradient_in_place = false;  // input_gradient may be output_gradient's memory
};

// The floor: operations and least bytes of one call at the planned batch.
struct Work {
  double forward_flops = 0, backward_flops = 0;
  double forward_bytes = 0, backward_bytes = 0;
};

// Where everything of one operation lies; every pointer is the backend's memory. Null where the spec has none.
struct Operands {
  const void* input = nullptr;
  const void* residual = nullptr;
  void* output = nullptr;
  void* saved = nullptr;
  void* workspace = nullptr;
  void* output_gradient = nullptr;  // backward may overwrite it
  void* input_gradient = nullptr;
  void* residual_gradient = nullptr;
  const float* weights = nullptr;        // filters, dense rows, or the normalisation's scale
  const float* bias = nullptr;           // bias, or the normalisation's shift
  const void* narrow_weights = nullptr;  // both in the compute type, where Backend::narrow_bytes says so
  const void* narrow_bias = nullptr;
  float* weights_gradient = nullptr;
  void* narrow_weights_gradient = nullptr;  // instead of weights_gradient, where Needs::narrow_gradient says so
  float* bias_gradient = nullptr;
  float* running_mean = nullptr;
  float* running_variance = nullptr;
  void* weight_copies = nullptr;
  const StepRow* row = nullptr;         // the current row, device memory
  const std::int32_t* order = nullptr;  // sample numbers by position; with row->first it keys the dropout
};

// One lowered operation, planned for one batch size and one mode. Calls are enqueued and never wait.
class Operation {
 public:
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  virtual ~Operation() = default;

  virtual Needs needs() const = 0;
  virtual Work work() const = 0;
  virtual std::string implementation() const = 0;  // e.g. "jit:avx2", for `bench --layers`

  // Master weights -> weight_copies; before the first forward after the weights changed.
  virtual void refresh(const Operands&) {}
  virtual void forward(const Operands&) = 0;
  // backward_begin: output_gradient becomes the gradient before the activation; normalisation sums.
  virtual void backward_begin(const Operands&) {}
  virtual void backward_weights(const Operands&) {}  // weights_gradient, bias_gradient: overwritten
  virtual void backward_data(const Operands&) {}     // input_gradient, residual_gradient: overwritten
};

}  // namespace convoy
