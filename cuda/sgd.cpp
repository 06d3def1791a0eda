// SGD with momentum, as convoy/update.hpp states it (PyTorch's, with decoupled decay as an option).
#include "kernels/update.hpp"
#include "operations.hpp"
#include "update_table.hpp"

namespace convoy::cuda {
namespace {

class Sgd final : public Update {
 public:
  Sgd(const SgdSpec& spec, const Context& context)
      : table_(spec.ranges, context),
        settings_{.momentum = spec.momentum, .nesterov = spec.nesterov, .decoupled = spec.decoupled},
        narrow_(context.compute),
        stream_(context.stream) {}

  void enqueue(const UpdateOperands& operands) override {
    update_sgd(table_.blocks(), table_.count(), settings_, operands, narrow_, stream_);
  }

 private:
  UpdateTable table_;
  SgdSettings settings_;
  DType narrow_;
  cudaStream_t stream_;
};

}  // namespace

std::unique_ptr<Update> plan_sgd(const SgdSpec& spec, const Context& context) {
  return std::make_unique<Sgd>(spec, context);
}

}  // namespace convoy::cuda
