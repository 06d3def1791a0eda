// Max and average pooling as operations of the CPU backend. A max keeps the places of its maxima.
#include "cpu/operations.hpp"
#include "nn/check_spec.hpp"

namespace convoy::cpu {
namespace {

// Below this many elements waking the other threads takes longer than the work.
constexpr std::size_t kSerialElements = 16384;

class Pool final : public Operation {
 public:
  Pool(const PoolSpec& spec, int batch, Mode mode, const Context& context)
      : spec_(spec), kernels_(context.kernels->pool), isa_(context.kernels->isa) {
    const Layout in = context.layout(spec.input), out = context.layout(spec.output);
    args_.samples = batch;
    args_.blocks = in.blocks;
    args_.block = in.block;
    args_.channels = spec.input.channels;
    args_.output_sample = out.sample_elements();
    args_.height = in.height;
    args_.width = in.width;
    args_.output_height = out.height;
    args_.output_width = out.width;
    args_.kernel_height = spec.kernel.height;
    args_.kernel_width = spec.kernel.width;
    args_.stride_height = spec.stride.height;
    args_.stride_width = spec.stride.width;
    args_.padding_top = spec.padding.top;
    args_.padding_left = spec.padding.left;
    args_.type = context.compute;
    const std::size_t element = bytes_per_element(context.compute);
    input_bytes_ = static_cast<std::size_t>(in.sample_elements()) * batch * element;
    output_elements_ = static_cast<std::size_t>(out.sample_elements()) * batch;
    args_.threads = input_bytes_ / element < kSerialElements ? 1 : context.threads;
    needs_.output = output_elements_ * element;
    if (mode == Mode::train && spec.input_gradient) {
      needs_.input_gradient = input_bytes_;
      if (spec.kind == PoolSpec::Kind::max) needs_.saved = output_elements_ * sizeof(std::uint16_t);
    }
  }

  Needs needs() const override { return needs_; }

  Work work() const override {
    const double window = static_cast<double>(spec_.kernel.height) * spec_.kernel.width;
    const double bytes = static_cast<double>(input_bytes_ + needs_.output + needs_.saved);
    const bool backward = needs_.input_gradient > 0;
    return {static_cast<double>(output_elements_) * window,
            backward ? static_cast<double>(output_elements_) * window : 0, bytes, backward ? bytes : 0};
  }

  std::string implementation() const override { return std::string(isa_) + " loops"; }

  void forward(const Operands& operands) override {
    PoolArgs args = args_;
    args.input = operands.input;
    args.output = operands.output;
    args.argmax = needs_.saved > 0 ? static_cast<std::uint16_t*>(operands.saved) : nullptr;
    (spec_.kind == PoolSpec::Kind::max ? kernels_.max_forward : kernels_.average_forward)(args);
  }

  void backward_data(const Operands& operands) override {
    if (needs_.input_gradient == 0) return;
    PoolArgs args = args_;
    args.argmax = static_cast<std::uint16_t*>(operands.saved);
    args.output_gradient = operands.output_gradient;
    args.input_gradient = operands.input_gradient;
    (spec_.kind == PoolSpec::Kind::max ? kernels_.max_backward : kernels_.average_backward)(args);
  }

 private:
  PoolSpec spec_;
  const PoolKernels& kernels_;
  std::string_view isa_;
  PoolArgs args_;
  std::size_t input_bytes_ = 0, output_elements_ = 0;
  Needs needs_;
};

}  // namespace

std::unique_ptr<Operation> plan_pool(const PoolSpec& spec, int batch, Mode mode, const Context& context) {
  check(spec, batch);
  return std::make_unique<Pool>(spec, batch, mode, context);
}

}  // namespace convoy::cpu
