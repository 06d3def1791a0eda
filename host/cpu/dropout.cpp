// Dropout as an operation of the CPU backend. The mask is drawn again in the backward pass; nothing is kept.
#include <cstring>

#include "cpu/operations.hpp"
#include "nn/check_spec.hpp"

namespace convoy::cpu {
namespace {

// Below this many elements waking the other threads takes longer than the work.
constexpr std::size_t kSerialElements = 4096;

class Dropout final : public Operation {
 public:
  Dropout(const DropoutSpec& spec, int batch, Mode mode, const Context& context)
      : spec_(spec), mode_(mode), kernels_(context.kernels->dropout), isa_(context.kernels->isa) {
    const Layout layout = context.layout(spec.input);
    args_.samples = batch;
    args_.blocks = layout.blocks;
    args_.block = layout.block;
    args_.pixels = static_cast<int>(layout.pixels());
    args_.channels = spec.input.channels;
    args_.rate = spec.rate;
    args_.salt = spec.salt;
    args_.type = context.compute;
    elements_ = static_cast<std::size_t>(layout.sample_elements()) * batch;
    args_.threads = elements_ < kSerialElements ? 1 : context.threads;
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

  DropoutSpec spec_;
  Mode mode_;
  const DropoutKernels& kernels_;
  std::string_view isa_;
  DropoutArgs args_;
  std::size_t elements_ = 0;
  Needs needs_;
};

}  // namespace

std::unique_ptr<Operation> plan_dropout(const DropoutSpec& spec, int batch, Mode mode, const Context& context) {
  check(spec, batch);
  return std::make_unique<Dropout>(spec, batch, mode, context);
}

}  // namespace convoy::cpu
