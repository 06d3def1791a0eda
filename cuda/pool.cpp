// Max and average pooling on the GPU. A max keeps the places of its maxima.
#include "kernels/pool.hpp"

#include <algorithm>
#include <limits>

#include "convoy/error.hpp"
#include "nn/check_spec.hpp"
#include "nn/operation_needs.hpp"
#include "operations.hpp"

namespace convoy::cuda {
namespace {

class Pool final : public Operation {
 public:
  Pool(const PoolSpec& spec, int batch, Mode mode, const Context& context) : spec_(spec), stream_(context.stream) {
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
    CONVOY_CHECK(std::max(spec.input.elements(), spec.output.elements()) <= std::numeric_limits<int>::max() / batch,
                 "pooling: {} samples of {} elements are more than a kernel counts; a smaller --batch helps", batch,
                 std::max(spec.input.elements(), spec.output.elements()));
    stored_ = {spec.input.elements(), spec.output.elements(), batch, context.compute};
    needs_ = pool_needs(spec, mode, stored_, pool_place_bytes(args_));
  }

  Needs needs() const override { return needs_; }

  Work work() const override { return pool_work(spec_, needs_, stored_); }

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
  PoolSpec spec_;
  cudaStream_t stream_;
  PoolArgs args_;
  StoredTensors stored_;
  Needs needs_;
};

}  // namespace

std::unique_ptr<Operation> plan_pool(const PoolSpec& spec, int batch, Mode mode, const Context& context) {
  check(spec, batch);
  return std::make_unique<Pool>(spec, batch, mode, context);
}

}  // namespace convoy::cuda
