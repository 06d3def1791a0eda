#include "nn/operation_needs.hpp"

#include "nn/operation_shape.hpp"

namespace convoy {
namespace {

// A convolution or a dense layer multiplies once forward and once for each gradient.
struct Product {
  OperationShape shape;
  bool trains, has_relu;
  StoredTensors stored;

  std::size_t output_bytes() const { return stored.output * (shape.float_output ? sizeof(float) : stored.element); }
  Needs needs() const;
  Work work() const;
};

Needs Product::needs() const {
  Needs needs;
  needs.output = output_bytes();
  needs.input_gradient = trains && shape.input_gradient ? stored.input_bytes() : 0;
  needs.backward_reads_input = trains && shape.weights_gradient;
  needs.backward_reads_output = trains && has_relu;
  return needs;
}

Work Product::work() const {
  const double flops =
      2.0 * stored.samples * shape.output.height * shape.output.width * static_cast<double>(shape.weights);
  const std::size_t weights = shape.weights * stored.element;
  Work work;
  work.forward_flops = flops;
  work.forward_bytes = static_cast<double>(stored.input_bytes() + weights + output_bytes());
  if (!trains) return work;
  const std::size_t activations = stored.input_bytes() + stored.output_bytes();
  if (shape.weights_gradient) {
    work.backward_flops += flops;
    work.backward_bytes += static_cast<double>(activations + shape.weights * sizeof(float));
  }
  if (shape.input_gradient) {
    work.backward_flops += flops;
    work.backward_bytes += static_cast<double>(activations + weights);
  }
  if (has_relu) work.backward_bytes += 3 * static_cast<double>(stored.output_bytes());
  return work;
}

template <typename Spec>
Product product_of(const Spec& spec, Mode mode, const StoredTensors& stored) {
  return {shape_of(spec), mode == Mode::train, spec.activation == Activation::relu, stored};
}

}  // namespace

Needs convolution_needs(const ConvSpec& spec, Mode mode, const StoredTensors& stored) {
  return product_of(spec, mode, stored).needs();
}

Work convolution_work(const ConvSpec& spec, Mode mode, const StoredTensors& stored) {
  return product_of(spec, mode, stored).work();
}

Needs dense_needs(const DenseSpec& spec, Mode mode, const StoredTensors& stored) {
  return product_of(spec, mode, stored).needs();
}

Work dense_work(const DenseSpec& spec, Mode mode, const StoredTensors& stored) {
  return product_of(spec, mode, stored).work();
}

Needs pool_needs(const PoolSpec& spec, Mode mode, const StoredTensors& stored, std::size_t place_bytes) {
  Needs needs;
  needs.output = stored.output_bytes();
  if (mode == Mode::train && spec.input_gradient) {
    needs.input_gradient = stored.input_bytes();
    if (spec.kind == PoolSpec::Kind::max) needs.saved = stored.output * place_bytes;
  }
  return needs;
}

Work pool_work(const PoolSpec& spec, const Needs& needs, const StoredTensors& stored) {
  const double window = static_cast<double>(spec.kernel.height) * spec.kernel.width;
  const double flops = static_cast<double>(stored.output) * window;
  const auto bytes = static_cast<double>(stored.input_bytes() + needs.output + needs.saved);
  const bool backward = needs.input_gradient > 0;
  return {flops, backward ? flops : 0, bytes, backward ? bytes : 0};
}

Needs dropout_needs(const DropoutSpec& spec, Mode mode, const StoredTensors& stored) {
  Needs needs;
  needs.output = stored.output_bytes();
  needs.input_gradient = mode == Mode::train && spec.input_gradient ? needs.output : 0;
  needs.forward_in_place = true;
  needs.gradient_in_place = true;
  return needs;
}

// A Philox draw is some 100 operations for four elements.
Work dropout_work(Mode mode, const Needs& needs, const StoredTensors& stored) {
  const bool train = mode == Mode::train, backward = needs.input_gradient > 0;
  const double flops = 26.0 * static_cast<double>(stored.output), bytes = 2.0 * static_cast<double>(needs.output);
  return {train ? flops : 0, backward ? flops : 0, train ? bytes : 0, backward ? bytes : 0};
}

EpilogueFacts::EpilogueFacts(const EpilogueSpec& spec, Mode mode)
    : trains(mode == Mode::train),
      is_smooth(spec.activation == Activation::gelu || spec.activation == Activation::silu),
      normalises_batch(trains && spec.normalise),
      wants_data_gradient(spec.input_gradient || (spec.residual && spec.residual_gradient)),
      wants_gradient(wants_data_gradient || spec.bias_gradient ||
                     (spec.normalise && (spec.scale_gradient || spec.shift_gradient))) {}

Needs epilogue_needs(const EpilogueSpec& spec, const EpilogueFacts& facts, const StoredTensors& stored,
                     std::size_t statistics_bytes, EpilogueSaved& saved) {
  Needs needs;
  needs.output = stored.output_bytes();
  if (facts.trains) {
    const bool recomputes = facts.is_smooth && !spec.residual;
    needs.input_gradient = spec.input_gradient ? stored.input_bytes() : 0;
    needs.backward_reads_input = facts.wants_gradient && spec.pool == 1 && (spec.normalise || recomputes);
    needs.backward_reads_output =
        facts.wants_gradient && spec.activation == Activation::relu && (!spec.normalise || spec.residual);
    const auto keep = [&needs](std::size_t bytes) {
      const std::size_t offset = align_up(needs.saved);
      needs.saved = offset + bytes;
      return offset;
    };
    if (spec.pool > 1 && (spec.normalise || (recomputes && facts.wants_gradient))) saved.pooled = keep(needs.output);
    if (spec.pool > 1 && spec.input_gradient) saved.argmax = keep(stored.output);  // a byte each
    if (facts.is_smooth && spec.residual && facts.wants_gradient) saved.preactivation = keep(needs.output);
    if (spec.normalise) saved.statistics = keep(statistics_bytes);
  }
  needs.forward_in_place = spec.pool == 1 && !needs.backward_reads_input;
  needs.gradient_in_place = facts.trains && spec.pool == 1;
  return needs;
}

}  // namespace convoy
