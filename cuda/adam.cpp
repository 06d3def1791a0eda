// Adam and AdamW, with PyTorch's or Keras' place for epsilon, as convoy/update.hpp states them.
#include "kernels/update.hpp"
#include "operations.hpp"
#include "update_table.hpp"

namespace convoy::cuda {
namespace {

float complement(float beta) { return static_cast<float>(1 - static_cast<double>(beta)); }

class Adam final : public Update {
 public:
  Adam(const AdamSpec& spec, const Context& context)
      : table_(spec.ranges, context),
        settings_{.beta1 = spec.beta1,
                  .one_minus_beta1 = complement(spec.beta1),
                  .beta2 = spec.beta2,
                  .one_minus_beta2 = complement(spec.beta2),
                  .epsilon = spec.epsilon,
                  .decoupled = spec.decoupled,
                  .keras_epsilon = spec.keras_epsilon},
        narrow_(context.compute),
        stream_(context.stream) {}

  void enqueue(const UpdateOperands& operands) override {
    update_adam(table_.blocks(), table_.count(), settings_, operands, narrow_, stream_);
  }

 private:
  UpdateTable table_;
  AdamSettings settings_;
  DType narrow_;
  cudaStream_t stream_;
};

}  // namespace

std::unique_ptr<Update> plan_adam(const AdamSpec& spec, const Context& context) {
  return std::make_unique<Adam>(spec, context);
}

}  // namespace convoy::cuda
