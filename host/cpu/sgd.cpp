// SGD with momentum, as convoy/update.hpp states it (PyTorch's, with decoupled decay as an option).
#include "cpu/operations.hpp"
#include "cpu/parts.hpp"
#include "nn/update_blocks.hpp"

namespace convoy::cpu {
namespace {

class Sgd final : public Update {
 public:
  Sgd(const SgdSpec& spec, const Context& context)
      : spec_(spec),
        kernels_(context.kernels->update),
        blocks_(cut_into_blocks(spec.ranges, kUpdateBlock)),
        threads_(useful_threads(elements_of(blocks_), context.threads)) {}

  void enqueue(const UpdateOperands& operands) override {
    const float factor = operands.gradient_factor == nullptr ? 1.0F : *operands.gradient_factor;
    const int blocks = static_cast<int>(blocks_.size());
#pragma omp parallel for schedule(static) num_threads(threads_)
    for (int i = 0; i < blocks; ++i) {
      const UpdateBlock& block = blocks_[static_cast<std::size_t>(i)];
      update(block, constants(block, operands.row->learning_rates[block.group], factor), operands);
    }
  }

 private:
  SgdConstants constants(const UpdateBlock& block, float rate, float factor) const {
    SgdConstants k;
    k.rate = rate;
    k.momentum = spec_.momentum;
    k.l2 = spec_.decoupled ? 0.0F : block.weight_decay;
    k.keep = spec_.decoupled ? 1.0F - rate * block.weight_decay : 1.0F;
    k.gradient_factor = factor;
    return k;
  }

  void update(const UpdateBlock& block, const SgdConstants& k, const UpdateOperands& operands) const {
    float* weights = operands.weights + block.offset;
    const float* gradients = operands.gradients + block.offset;
    if (spec_.momentum == 0) {
      kernels_.sgd_plain(k, weights, gradients, block.count);
    } else if (spec_.nesterov) {
      kernels_.sgd_nesterov(k, weights, gradients, operands.first_moment + block.offset, block.count);
    } else {
      kernels_.sgd_momentum(k, weights, gradients, operands.first_moment + block.offset, block.count);
    }
  }

  SgdSpec spec_;
  UpdateKernels kernels_;
  std::vector<UpdateBlock> blocks_;
  int threads_;
};

}  // namespace

std::unique_ptr<Update> plan_sgd(const SgdSpec& spec, const Context& context) {
  return std::make_unique<Sgd>(spec, context);
}

}  // namespace convoy::cpu
