// The compute copies of one layer's weights: the fp32 master [O,H,W,I] in the forms that oneDNN's forward pass and its
// backward pass of the data want. The two share a copy where they agree; a form equal to the master needs none.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "convoy/operation.hpp"
#include "cpu/context.hpp"
#include "cpu/dnnl_call.hpp"

namespace convoy::cpu {

class WeightCopies {
 public:
  WeightCopies() = default;
  WeightCopies(const dnnl::memory::desc& master, const dnnl::memory::desc& forward, const Context& context);
  void add_backward(const dnnl::memory::desc& backward, const Context& context);

  std::size_t bytes() const { return bytes_; }  // of Operands::weight_copies
  void refresh(const Operands& operands, const Context& context);
  const void* forward(const Operands& operands) const;
  const void* backward(const Operands& operands) const;

 private:
  dnnl::memory::desc master_, forward_form_;
  Reorder to_forward_, to_backward_;
  std::size_t backward_offset_ = 0, bytes_ = 0;
  bool is_shared_ = false;
};

}  // namespace convoy::cpu
