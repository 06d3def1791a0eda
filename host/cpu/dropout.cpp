// Dropout as an operation of the CPU backend. The mask is drawn again in the backward pass; nothing is kept.
#include <cstring>

#include "cpu/operations.hpp"
#include "nn/check_spec.hpp"
#include "nn/operation_needs.hpp"

namespace convoy::cpu {
namespace {

// Below this many elements waking the other threads takes longer than the work.
constexpr std::size_t kSerialElements = 4096;

class Dropout final : public Operation {
 public:
  Dropout(const DropoutSpec& spec, int batch, Mode mode, const Context& context)
      : mode_(mode), kernels_(context.kernels->dropout), isa_(context.kernels->isa) {
    const Layout layout = context.layout(spec.input);
    args_.samples = batch;
    args_.blocks = layout.blocks;
    args_.block = layout.block;
    args_.pixels = static_cast<int>(layout.pixels());
    args_.channels = spec.input.channels;
    args_.rate = spec.rate;
    args_.salt = spec.salt;
    args_.type = context.compute;
    stored_ = {layout.sample_elements(), layout.sample_elements(), batch, context.compute};
    args_.threads = stored_.output < kSerialElements ? 1 : context.threads;
    needs_ = dropout_needs(spec, mode, stored_);
  }

  Needs needs() const override { return needs_; }

  Work work() const override { return dropout_work(mode_, needs_, stored_); }

  std::string implementation() const override { return std::string(isa_) + " loops"; }

  void forward(const Operands& operands) override {
    if (mode_ == Mode::train) {
      apply(operands, operands.input, operands.output);
    } else if (operands.output != operands.input) {
      std::memcpy(operands.output, operands.input, needs_.output);
    }
  }

  void backward_data(const Operands& operands) override {
    if (needs_.input_gradient > 0) apply(operands, operands.output_gradient, operands.input_gradient);
  }

 private:
  void apply(const Operands& operands, const void* from, void* to) const {
    DropoutArgs args = args_;
    args.seed = operands.row->seed;
    args.epoch = static_cast<std::uint32_t>(operands.row->epoch);
    args.order = operands.order + operands.row->first;
    args.count = operands.row->count;
    args.input = from;
    args.output = to;
    kernels_.apply(args);
  }

  Mode mode_;
  const DropoutKernels& kernels_;
  std::string_view isa_;
  DropoutArgs args_;
  StoredTensors stored_;
  Needs needs_;
};

}  // namespace

std::unique_ptr<Operation> plan_dropout(const DropoutSpec& spec, int batch, Mode mode, const Context& context) {
  check(spec, batch);
  return std::make_unique<Dropout>(spec, batch, mode, context);
}

}  // namespace convoy::cpu
