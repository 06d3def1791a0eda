// See graph.hpp.
#include "cudnn/graph.hpp"

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace convoy::cuda::cudnn {
namespace {

using Dims = std::vector<std::int64_t>;
using Handle = cudnnBackendDescriptor_t;

cudnnDataType_t data_type(DType type) {
  switch (type) {
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    case DType::f16:
      return CUDNN_DATA_HALF;
    default:
      return CUDNN_DATA_FLOAT;
  }
}

// Dimensions come in cuDNN's order N C H W; these strides make the memory N H W C.
Dims channels_last(const Dims& d) { return {d[1] * d[2] * d[3], 1, d[1] * d[3], d[1]}; }

// What exists in memory is fp32 or the compute type; what only passes between fused operations is fp32.
class Builder {
 public:
  explicit Builder(const Convolution& convolution) : convolution_(convolution) {}

  Graph build(const Target& target) {
    switch (convolution_.pass) {
      case Pass::forward:
        forward();
        break;
      case Pass::backward_data:
        convolve(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, kBackwardData, input(), filters(),
                 output());
        break;
      case Pass::backward_weights:
        convolve(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, kBackwardWeights, input(), filters(),
                 output());
        break;
    }
    graph_.whole.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations_);
    target.name_in_graph(graph_.whole);
    graph_.whole.finalize();
    return std::move(graph_);
  }

 private:
  // How the attributes of the three convolutions are called.
  struct Names {
    cudnnBackendAttributeName_t alpha, beta, convolution, input, filters, output;
  };
  static constexpr Names kForward = {
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
  static constexpr Names kBackwardData = {
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
  static constexpr Names kBackwardWeights = {
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};

  void forward() {
    const bool is_fused = convolution_.bias || convolution_.relu;
    Handle value = is_fused ? passing() : output();
    convolve(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, kForward, input(), filters(), value);
    if (convolution_.bias) {
      const Handle sum = convolution_.relu ? passing() : output();
      const Handle bias = tensor(kBias, {1, convolution_.output.channels, 1, 1}, data_type(convolution_.type), false);
      pointwise(CUDNN_POINTWISE_ADD, value, bias, sum);
      value = sum;
    }
    if (convolution_.relu) pointwise(CUDNN_POINTWISE_RELU_FWD, value, nullptr, output());
  }

  void convolve(cudnnBackendDescriptorType_t type, const Names& names, Handle input, Handle filters, Handle output) {
    const Padding& padding = convolution_.padding;
    Descriptor& convolution = add(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2});
    convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    convolution.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
    convolution.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, Dims{padding.top, padding.left});
    convolution.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, Dims{padding.bottom, padding.right});
    convolution.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, Dims{1, 1});
    convolution.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, Dims{convolution_.stride.height, convolution_.stride.width});
    convolution.finalize();
    const Handle convolution_handle = convolution.get();
    Descriptor& operation = add(type);
    operation.set(names.convolution, convolution_handle);
    operation.set(names.input, input);
    operation.set(names.filters, filters);
    operation.set(names.output, output);
    operation.set(names.alpha, 1.0F);
    operation.set(names.beta, 0.0F);
    operation.finalize();
    operations_.push_back(operation.get());
  }

  void pointwise(cudnnPointwiseMode_t mode, Handle from, Handle second, Handle to) {
    Descriptor& pointwise = add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    pointwise.set(CUDNN_ATTR_POINTWISE_MODE, mode);
    pointwise.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    pointwise.finalize();
    const Handle pointwise_handle = pointwise.get();
    Descriptor& operation = add(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise_handle);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from);
    if (second != nullptr) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, second);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
    operation.finalize();
    operations_.push_back(operation.get());
  }

  Handle tensor(std::int64_t id, const Dims& dims, cudnnDataType_t type, bool is_virtual) {
    Descriptor& tensor = add(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
    tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
    tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, dims);
    tensor.set(CUDNN_ATTR_TENSOR_STRIDES, channels_last(dims));
    tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{16});
    if (is_virtual) tensor.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
    tensor.finalize();
    return tensor.get();
  }

  Dims activation(const Extent& extent) const {
    return {convolution_.batch, extent.channels, extent.height, extent.width};
  }
  Handle input() { return tensor(kInput, activation(convolution_.input), data_type(convolution_.type), false); }
  Handle output() { return tensor(kOutput, activation(convolution_.output), data_type(convolution_.type), false); }
  Handle filters() {
    const Convolution& c = convolution_;
    return tensor(kFilters, {c.output.channels, c.input.channels, c.kernel.height, c.kernel.width}, data_type(c.type),
                  false);
  }
  Handle passing() { return tensor(next_virtual_++, activation(convolution_.output), CUDNN_DATA_FLOAT, true); }

  Descriptor& add(cudnnBackendDescriptorType_t type) { return graph_.parts.emplace_back(type); }

  const Convolution& convolution_;
  Graph graph_;
  std::vector<Handle> operations_;
  std::int64_t next_virtual_ = kBias + 1;
};

std::string_view name(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return "forward";
    case Pass::backward_data:
      return "backward data";
    default:
      return "backward weights";
  }
}

std::string_view name(DType type) {
  switch (type) {
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "fp16";
    default:
      return "fp32";
  }
}

}  // namespace

Convolution pass_of(const ConvSpec& spec, Pass pass, int batch, DType type) {
  const bool has_relu = spec.activation == Activation::relu, is_forward = pass == Pass::forward;
  return {.pass = pass,
          .batch = batch,
          .input = spec.input,
          .output = spec.output,
          .kernel = spec.kernel,
          .stride = spec.stride,
          .padding = spec.padding,
          .type = type,
          .bias = is_forward && (spec.bias || has_relu),
          .relu = is_forward && has_relu};
}

std::string describe(const Convolution& c) {
  return fmt::format("convolution {}x{}x{} -> {}x{}x{}, kernel {}x{}, batch {}, {} in {}", c.input.height,
                     c.input.width, c.input.channels, c.output.height, c.output.width, c.output.channels,
                     c.kernel.height, c.kernel.width, c.batch, name(c.pass), name(c.type));
}

Graph build(const Convolution& convolution, const Target& target) { return Builder(convolution).build(target); }

}  // namespace convoy::cuda::cudnn
