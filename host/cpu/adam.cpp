// Adam and AdamW, with PyTorch's or Keras' place for epsilon, as convoy/update.hpp states them.
#include "convoy/adam_correction.hpp"
#include "cpu/operations.hpp"
#include "cpu/parts.hpp"
#include "nn/update_blocks.hpp"

namespace convoy::cpu {
namespace {

class Adam final : public Update {
 public:
  Adam(const AdamSpec& spec, const Context& context)
      : spec_(spec),
        kernels_(context.kernels->update),
        blocks_(cut_into_blocks(spec.ranges, kUpdateBlock)),
        threads_(useful_threads(elements_of(blocks_), context.threads)) {}

  void enqueue(const UpdateOperands& operands) override {
    const AdamCorrection correction =
        adam_correction(spec_.beta1, spec_.beta2, spec_.keras_epsilon, operands.row->step + 1);
    const float factor = operands.gradient_factor == nullptr ? 1.0F : *operands.gradient_factor;
    const int blocks = static_cast<int>(blocks_.size());
#pragma omp parallel for schedule(static) num_threads(threads_)
    for (int i = 0; i < blocks; ++i) {
      const UpdateBlock& block = blocks_[static_cast<std::size_t>(i)];
      const float rate = operands.row->learning_rates[block.group];
      kernels_.adam(constants(block, correction, rate, factor), operands.weights + block.offset,
                    operands.gradients + block.offset, operands.first_moment + block.offset,
                    operands.second_moment + block.offset, block.count);
    }
  }

 private:
  AdamConstants constants(const UpdateBlock& block, const AdamCorrection& correction, float rate, float factor) const {
    AdamConstants k;
    k.step = static_cast<float>(rate * correction.step);
    k.second_correction = static_cast<float>(correction.second);
    k.epsilon = spec_.epsilon;
    k.beta1 = spec_.beta1;
    k.one_minus_beta1 = static_cast<float>(1 - static_cast<double>(spec_.beta1));
    k.beta2 = spec_.beta2;
    k.one_minus_beta2 = static_cast<float>(1 - static_cast<double>(spec_.beta2));
    k.l2 = spec_.decoupled ? 0.0F : block.weight_decay;
    k.keep = spec_.decoupled ? 1.0F - rate * block.weight_decay : 1.0F;
    k.gradient_factor = factor;
    return k;
  }

  AdamSpec spec_;
  UpdateKernels kernels_;
  std::vector<UpdateBlock> blocks_;
  int threads_;
};

}  // namespace

std::unique_ptr<Update> plan_adam(const AdamSpec& spec, const Context& context) {
  return std::make_unique<Adam>(spec, context);
}

}  // namespace convoy::cpu
