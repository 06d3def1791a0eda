// Dropout on the GPU. The mask is drawn again in the backward pass; nothing is kept.
#include "kernels/dropout.hpp"

#include <limits>

#include "check.hpp"
#include "convoy/error.hpp"
#include "nn/check_spec.hpp"
#include "operations.hpp"

namespace convoy::cuda {
namespace {

class Dropout final : public Operation {
 public:
  Dropout(const DropoutSpec& spec, int batch, Mode mode, const Context& context)
      : mode_(mode), stream_(context.stream) {
    args_.samples = batch;
    args_.sample_elements = static_cast<int>(spec.input.elements());
    args_.rate = spec.rate;
    args_.salt = spec.salt;
    args_.type = context.compute;
    elements_ = static_cast<std::size_t>(spec.input.elements()) * batch;
    CONVOY_CHECK(spec.input.elements() <= std::numeric_limits<int>::max() / batch,
                 "dropout: {} samples of {} elements are more than a kernel counts; a smaller --batch helps", batch,
                 spec.input.elements());
    needs_.output = elements_ * bytes_per_element(context.compute);
    needs_.input_gradient = mode == Mode::train && spec.input_gradient ? needs_.output : 0;
    needs_.forward_in_place = true;
    needs_.gradient_in_place = true;
  }

  Needs needs() const override { return needs_; }

  // A Philox draw is some 100 operations for four elements.
  Work work() const override {
    const bool train = mode_ == Mode::train;
    const double bytes = 2.0 * static_cast<double>(needs_.output), flops = 26.0 * static_cast<double>(elements_);
    const bool backward = needs_.input_gradient > 0;
    return {train ? flops : 0, backward ? flops : 0, train ? bytes : 0, backward ? bytes : 0};
  }

  std::string implementation() const override { return "own kernels"; }

  void forward(const Operands& operands) override {
    if (mode_ == Mode::train) {
      apply(operands, operands.input, operands.output);
    } else if (operands.output != operands.input) {
      CHECK_CUDA(cudaMemcpyAsync(operands.output, operands.input, needs_.output, cudaMemcpyDeviceToDevice, stream_));
    }
  }

  void backward_data(const Operands& operands) override {
    if (needs_.input_gradient > 0) apply(operands, operands.output_gradient, operands.input_gradient);
  }

 private:
  void apply(const Operands& operands, const void* from, void* to) const {
    DropoutArgs args = args_;
    args.row = operands.row;
    args.order = operands.order;
    args.input = from;
    args.output = to;
    dropout(args, stream_);
  }

  Mode mode_;
  cudaStream_t stream_;
  DropoutArgs args_;
  std::size_t elements_ = 0;
  Needs needs_;
};

}  // namespace

std::unique_ptr<Operation> plan_dropout(const DropoutSpec& spec, int batch, Mode mode, const Context& context) {
  check(spec, batch);
  return std::make_unique<Dropout>(spec, batch, mode, context);
}

}  // namespace convoy::cuda
