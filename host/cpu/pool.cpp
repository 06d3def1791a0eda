// Max and average pooling as operations of the CPU backend. A max keeps the places of its maxima.
#include "cpu/operations.hpp"
#include "nn/check_spec.hpp"
#include "nn/operation_needs.hpp"

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
    stored_ = {in.sample_elements(), out.sample_elements(), batch, context.compute};
    args_.threads = stored_.input < kSerialElements ? 1 : context.threads;
    needs_ = pool_needs(spec, mode, stored_, sizeof(std::uint16_t));
  }

  Needs needs() const override { return needs_; }

  Work work() const override { return pool_work(spec_, needs_, stored_); }

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
  StoredTensors stored_;
  Needs needs_;
};

}  // namespace

std::unique_ptr<Operation> plan_pool(const PoolSpec& spec, int batch, Mode mode, const Context& context) {
  check(spec, batch);
  return std::make_unique<Pool>(spec, batch, mode, context);
}

}  // namespace convoy::cpu
