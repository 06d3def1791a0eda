// Dropout on the GPU. The mask is drawn again in the backward pass; nothing is kept.
#include "kernels/dropout.hpp"

#include <limits>

#include "check.hpp"
#include "convoy/error.hpp"
#include "nn/check_spec.hpp"
#include "nn/operation_needs.hpp"
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
    CONVOY_CHECK(spec.input.elements() <= std::numeric_limits<int>::max() / batch,
                 "dropout: {} samples of {} elements are more than a kernel counts; a smaller --batch helps", batch,
                 spec.input.elements());
    stored_ = {spec.input.elements(), spec.input.elements(), batch, context.compute};
    needs_ = dropout_needs(spec, mode, stored_);
  }

  Needs needs() const override { return needs_; }

  Work work() const override { return dropout_work(mode_, needs_, stored_); }

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
  StoredTensors stored_;
  Needs needs_;
};

}  // namespace

std::unique_ptr<Operation> plan_dropout(const DropoutSpec& spec, int batch, Mode mode, const Context& context) {
  check(spec, batch);
  return std::make_unique<Dropout>(spec, batch, mode, context);
}

}  // namespace convoy::cuda
