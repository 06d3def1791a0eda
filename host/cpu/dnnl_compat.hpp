// The one place that knows oneDNN's two API generations: 2.x makes a primitive descriptor from an operation
// descriptor, 3.x directly. Debian 12 ships 2.6, Debian 13 and Ubuntu 24.04 ship 3.x.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

namespace convoy::cpu::compat {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::primitive_attr;
using dnnl::prop_kind;

struct ConvolutionShape {
  memory::dims strides, padding_before, padding_after;
};

constexpr bool kIsVersion3 = DNNL_VERSION_MAJOR >= 3;

#if DNNL_VERSION_MAJOR >= 3

inline auto convolution_forward(const dnnl::engine& engine, prop_kind kind, algorithm method,
                                const memory::desc& source, const memory::desc& weights, const memory::desc& bias,
                                const memory::desc& output, const ConvolutionShape& shape,
                                const primitive_attr& attributes) {
  return dnnl::convolution_forward::primitive_desc(engine, kind, method, source, weights, bias, output, shape.strides,
                                                   shape.padding_before, shape.padding_after, attributes);
}

inline auto convolution_backward_data(const dnnl::engine& engine, algorithm method, const memory::desc& source,
                                      const memory::desc& weights, const memory::desc& output,
                                      const ConvolutionShape& shape, const primitive_attr& attributes,
                                      const dnnl::convolution_forward::primitive_desc& hint) {
  return dnnl::convolution_backward_data::primitive_desc(engine, method, source, weights, output, shape.strides,
                                                         shape.padding_before, shape.padding_after, hint, attributes);
}

inline auto convolution_backward_weights(const dnnl::engine& engine, algorithm method, const memory::desc& source,
                                         const memory::desc& weights, const memory::desc& bias,
                                         const memory::desc& output, const ConvolutionShape& shape,
                                         const primitive_attr& attributes,
                                         const dnnl::convolution_forward::primitive_desc& hint) {
  return dnnl::convolution_backward_weights::primitive_desc(engine, method, source, weights, bias, output,
                                                            shape.strides, shape.padding_before, shape.padding_after,
                                                            hint, attributes);
}

inline auto dense_forward(const dnnl::engine& engine, prop_kind kind, const memory::desc& source,
                          const memory::desc& weights, const memory::desc& bias, const memory::desc& output,
                          const primitive_attr& attributes) {
  return dnnl::inner_product_forward::primitive_desc(engine, kind, source, weights, bias, output, attributes);
}

inline auto dense_backward_data(const dnnl::engine& engine, const memory::desc& source, const memory::desc& weights,
                                const memory::desc& output, const primitive_attr& attributes,
                                const dnnl::inner_product_forward::primitive_desc& hint) {
  return dnnl::inner_product_backward_data::primitive_desc(engine, source, weights, output, hint, attributes);
}

inline auto dense_backward_weights(const dnnl::engine& engine, const memory::desc& source, const memory::desc& weights,
                                   const memory::desc& bias, const memory::desc& output,
                                   const primitive_attr& attributes,
                                   const dnnl::inner_product_forward::primitive_desc& hint) {
  return dnnl::inner_product_backward_weights::primitive_desc(engine, source, weights, bias, output, hint, attributes);
}

// The derivative of ReLU from its output.
inline auto relu_backward(const dnnl::engine& engine, const memory::desc& data) {
  const dnnl::eltwise_forward::primitive_desc forward(engine, prop_kind::forward_training,
                                                      algorithm::eltwise_relu_use_dst_for_bwd, data, data, 0.0F, 0.0F);
  return dnnl::eltwise_backward::primitive_desc(engine, algorithm::eltwise_relu_use_dst_for_bwd, data, data, data, 0.0F,
                                                0.0F, forward);
}

inline auto matmul(const dnnl::engine& engine, const memory::desc& a, const memory::desc& b, const memory::desc& c,
                   const primitive_attr& attributes) {
  return dnnl::matmul::primitive_desc(engine, a, b, c, attributes);
}

inline void append_relu(dnnl::post_ops& operations) { operations.append_eltwise(algorithm::eltwise_relu, 0.0F, 0.0F); }

inline bool is_empty(const memory::desc& description) { return description.is_zero(); }
inline memory::dims dimensions(const memory::desc& description) { return description.get_dims(); }

#else

inline auto convolution_forward(const dnnl::engine& engine, prop_kind kind, algorithm method,
                                const memory::desc& source, const memory::desc& weights, const memory::desc& bias,
                                const memory::desc& output, const ConvolutionShape& shape,
                                const primitive_attr& attributes) {
  const dnnl::convolution_forward::desc description(kind, method, source, weights, bias, output, shape.strides,
                                                    shape.padding_before, shape.padding_after);
  return dnnl::convolution_forward::primitive_desc(description, attributes, engine);
}

inline auto convolution_backward_data(const dnnl::engine& engine, algorithm method, const memory::desc& source,
                                      const memory::desc& weights, const memory::desc& output,
                                      const ConvolutionShape& shape, const primitive_attr& attributes,
                                      const dnnl::convolution_forward::primitive_desc& hint) {
  const dnnl::convolution_backward_data::desc description(method, source, weights, output, shape.strides,
                                                          shape.padding_before, shape.padding_after);
  return dnnl::convolution_backward_data::primitive_desc(description, attributes, engine, hint);
}

inline auto convolution_backward_weights(const dnnl::engine& engine, algorithm method, const memory::desc& source,
                                         const memory::desc& weights, const memory::desc& bias,
                                         const memory::desc& output, const ConvolutionShape& shape,
                                         const primitive_attr& attributes,
                                         const dnnl::convolution_forward::primitive_desc& hint) {
  const dnnl::convolution_backward_weights::desc description(method, source, weights, bias, output, shape.strides,
                                                             shape.padding_before, shape.padding_after);
  return dnnl::convolution_backward_weights::primitive_desc(description, attributes, engine, hint);
}

inline auto dense_forward(const dnnl::engine& engine, prop_kind kind, const memory::desc& source,
                          const memory::desc& weights, const memory::desc& bias, const memory::desc& output,
                          const primitive_attr& attributes) {
  const dnnl::inner_product_forward::desc description(kind, source, weights, bias, output);
  return dnnl::inner_product_forward::primitive_desc(description, attributes, engine);
}

inline auto dense_backward_data(const dnnl::engine& engine, const memory::desc& source, const memory::desc& weights,
                                const memory::desc& output, const primitive_attr& attributes,
                                const dnnl::inner_product_forward::primitive_desc& hint) {
  const dnnl::inner_product_backward_data::desc description(source, weights, output);
  return dnnl::inner_product_backward_data::primitive_desc(description, attributes, engine, hint);
}

inline auto dense_backward_weights(const dnnl::engine& engine, const memory::desc& source, const memory::desc& weights,
                                   const memory::desc& bias, const memory::desc& output,
                                   const primitive_attr& attributes,
                                   const dnnl::inner_product_forward::primitive_desc& hint) {
  const dnnl::inner_product_backward_weights::desc description(source, weights, bias, output);
  return dnnl::inner_product_backward_weights::primitive_desc(description, attributes, engine, hint);
}

inline auto relu_backward(const dnnl::engine& engine, const memory::desc& data) {
  const dnnl::eltwise_forward::desc forward(prop_kind::forward_training, algorithm::eltwise_relu_use_dst_for_bwd, data,
                                            0.0F, 0.0F);
  const dnnl::eltwise_backward::desc backward(algorithm::eltwise_relu_use_dst_for_bwd, data, data, 0.0F, 0.0F);
  return dnnl::eltwise_backward::primitive_desc(backward, engine, {forward, engine});
}

inline auto matmul(const dnnl::engine& engine, const memory::desc& a, const memory::desc& b, const memory::desc& c,
                   const primitive_attr& attributes) {
  return dnnl::matmul::primitive_desc(dnnl::matmul::desc(a, b, c), attributes, engine);
}

inline void append_relu(dnnl::post_ops& operations) {
  operations.append_eltwise(1.0F, algorithm::eltwise_relu, 0.0F, 0.0F);
}

inline bool is_empty(const memory::desc& description) { return description.data.ndims == 0; }
inline memory::dims dimensions(const memory::desc& description) { return description.dims(); }

#endif

}  // namespace convoy::cpu::compat
