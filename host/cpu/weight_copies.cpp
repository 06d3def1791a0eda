// Reorders from the master weights into the copies.
#include "cpu/weight_copies.hpp"

namespace convoy::cpu {

WeightCopies::WeightCopies(const dnnl::memory::desc& master, const dnnl::memory::desc& forward, const Context& context)
    : master_(master), forward_form_(forward), to_forward_(master, forward, context) {
  bytes_ = to_forward_.is_needed() ? align_up(forward.get_size()) : 0;
}

void WeightCopies::add_backward(const dnnl::memory::desc& backward, const Context& context) {
  is_shared_ = backward == forward_form_;
  if (is_shared_) return;
  to_backward_ = Reorder(master_, backward, context);
  backward_offset_ = bytes_;
  if (to_backward_.is_needed()) bytes_ += align_up(backward.get_size());
}

void WeightCopies::refresh(const Operands& operands, const Context& context) {
  auto* copies = static_cast<std::byte*>(operands.weight_copies);
  if (to_forward_.is_needed()) to_forward_.run(operands.weights, copies, context);
  if (to_backward_.is_needed()) to_backward_.run(operands.weights, copies + backward_offset_, context);
}

const void* WeightCopies::forward(const Operands& operands) const {
  return to_forward_.is_needed() ? operands.weight_copies : operands.weights;
}

const void* WeightCopies::backward(const Operands& operands) const {
  if (is_shared_) return forward(operands);
  if (!to_backward_.is_needed()) return operands.weights;
  return static_cast<const std::byte*>(operands.weight_copies) + backward_offset_;
}

}  // namespace convoy::cpu
