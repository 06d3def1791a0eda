// An activation lies image by image, so a part is a stretch of it. Gradients of filters and bias are the parts' sums.
#include "cpu/convolution_in_parts.hpp"

#include <fmt/format.h>

#include <utility>

#include "cpu/arena.hpp"
#include "cpu/dnnl_call.hpp"

namespace convoy::cpu {
namespace {

class ConvolutionInParts final : public Operation {
 public:
  ConvolutionInParts(std::unique_ptr<Operation> part, int images, int parts, const OperationShape& shape,
                     const Context& context)
      : part_(std::move(part)),
        parts_(parts),
        shape_(shape),
        context_(context),
        of_part_(part_->needs()),
        input_bytes_(activation_description(images, shape.input, context.compute, context).get_size()) {}

  Needs needs() const override;
  Work work() const override;
  std::string implementation() const override { return fmt::format("{} in {} parts", part_->implementation(), parts_); }
  void refresh(const Operands& operands) override { part_->refresh(operands); }
  void forward(const Operands& operands) override {
    for (int part = 0; part < parts_; ++part) part_->forward(operands_of(part, operands));
  }
  void backward_begin(const Operands& operands) override {
    for (int part = 0; part < parts_; ++part) part_->backward_begin(operands_of(part, operands));
  }
  void backward_weights(const Operands&) override;
  void backward_data(const Operands& operands) override {
    for (int part = 0; part < parts_; ++part) part_->backward_data(operands_of(part, operands));
  }

 private:
  Operands operands_of(int part, const Operands&) const;

  std::unique_ptr<Operation> part_;
  int parts_;
  OperationShape shape_;
  Context context_;
  Needs of_part_;
  std::size_t input_bytes_;  // of a part
};

// Behind a part's workspace lie the gradients of one part: [filters | bias].
Needs ConvolutionInParts::needs() const {
  const auto parts = static_cast<std::size_t>(parts_);
  Needs needs = of_part_;
  needs.output *= parts;
  needs.input_gradient *= parts;
  needs.workspace =
      align_up(needs.workspace) + align_up(shape_.weights * sizeof(float)) + align_up(shape_.bias * sizeof(float));
  return needs;
}

Work ConvolutionInParts::work() const {
  Work work = part_->work();
  for (double* each : {&work.forward_flops, &work.backward_flops, &work.forward_bytes, &work.backward_bytes}) {
    *each *= parts_;
  }
  return work;
}

// Null where `data` is.
std::byte* stretch(void* data, int part, std::size_t bytes) {
  return data == nullptr ? nullptr : static_cast<std::byte*>(data) + static_cast<std::size_t>(part) * bytes;
}

Operands ConvolutionInParts::operands_of(int part, const Operands& operands) const {
  Operands own = operands;
  own.input = stretch(const_cast<void*>(operands.input), part, input_bytes_);  // which stays unwritten all the same
  own.output = stretch(operands.output, part, of_part_.output);
  own.output_gradient = stretch(operands.output_gradient, part, of_part_.output);
  own.input_gradient = stretch(operands.input_gradient, part, input_bytes_);
  return own;
}

void ConvolutionInParts::backward_weights(const Operands& operands) {
  part_->backward_weights(operands_of(0, operands));
  auto* filters = reinterpret_cast<float*>(stretch(operands.workspace, 1, align_up(of_part_.workspace)));
  auto* bias = reinterpret_cast<float*>(stretch(filters, 1, align_up(shape_.weights * sizeof(float))));
  for (int part = 1; part < parts_; ++part) {
    Operands own = operands_of(part, operands);
    own.weights_gradient = filters;
    own.bias_gradient = bias;
    part_->backward_weights(own);
    if (shape_.weights_gradient) add_scaled(operands.weights_gradient, 1, filters, shape_.weights, context_);
    if (shape_.bias_gradient) add_scaled(operands.bias_gradient, 1, bias, shape_.bias, context_);
  }
}

}  // namespace

std::unique_ptr<Operation> repeat_convolution(std::unique_ptr<Operation> part, int images, int parts,
                                              const OperationShape& shape, const Context& context) {
  return std::make_unique<ConvolutionInParts>(std::move(part), images, parts, shape, context);
}

}  // namespace convoy::cpu
