// Max and average pooling on the GPU. A max keeps the places of its maxima.
#include "kernels/pool.hpp"

#include <algorithm>
#include <limits>

#include "convoy/error.hpp"
#include "nn/check_spec.hpp"
#include "operations.hpp"

namespace convoy::cuda {
namespace {

class Pool final : public Operation {
 public:
  Pool(const PoolSpec& spec, int batch, Mode mode, const Context& context) : stream_(context.stream) {
    args_.kind = spec.kind;
    args_.samples = batch;
    args_.channels = spec.input.channels;
    args_.height = spec.input.height;
    args_.width = spec.input.width;
    args_.output_height = spec.output.height;
    args_.output_width = spec.output.width;
    args_.kernel_height = spec.kernel.height;
    args_.kernel_width = spec.kernel.width;
    args_.stride_height = spec.stride.height;
    args_.stride_width = spec.stride.width;
    args_.padding_top = spec.padding.top;
    args_.padding_left = spec.padding.left;
    args_.type = context.compute;
    const std::size_t element = bytes_per_element(context.compute);
    input_bytes_ = static_cast<std::size_t>(spec.input.elements()) * batch * element;
    output_elements_ = static_cast<std::size_t>(spec.output.elements()) * batch;
    CONVOY_CHECK(std::max(spec.input.elements(), spec.output.elements()) <= std::numeric_limits<int>::max() / batch,
                 "pooling: {} samples of {} elements are more than a kernel counts; a smaller --batch helps", batch,
                 std::max(spec.input.elements(), spec.output.elements()));
    needs_.output = output_elements_ * element;
    if (mode == Mode::train && spec.input_gradient) {
      needs_.input_gradient = input_bytes_;
      if (spec.kind == PoolSpec::Kind::max) needs_.saved = output_elements_ * pool_place_bytes(args_);
    }
  }

  Needs needs() const override { return needs_; }

  Work work() const override {
    const double window = static_cast<double>(args_.kernel_height) * args_.kernel_width;
    const double bytes = static_cast<double>(input_bytes_ + needs_.output + needs_.saved);
    const double flops = static_cast<double>(output_elements_) * window;
    const bool backward = needs_.input_gradient > 0;
    return {flops, backward ? flops : 0, bytes, backward ? bytes : 0};
  }

  std::string implementation() const override { return "own kernels"; }

  void forward(const Operands& operands) override {
    PoolArgs args = args_;
    args.input = operands.input;
    args.output = operands.output;
    args.argmax = needs_.saved > 0 ? operands.saved : nullptr;
    pool_forward(args, stream_);
  }

  void backward_data(const Operands& operands) override {
    if (needs_.input_gradient == 0) return;
    PoolArgs args = args_;
    args.argmax = operands.saved;
    args.output_gradient = operands.output_gradient;
    args.input_gradient = operands.input_gradient;
    pool_backward(args, stream_);
  }

 private:
  cudaStream_t stream_;
  PoolArgs args_;
  std::size_t input_bytes_ = 0, output_elements_ = 0;
  Needs needs_;
};

}  // namespace

std::unique_ptr<Operation> plan_pool(const PoolSpec& spec, int batch, Mode mode, const Context& context) {
  check(spec, batch);
  return std::make_unique<Pool>(spec, batch, mode, context);
}

}  // namespace convoy::cuda
