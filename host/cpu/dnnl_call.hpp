// What the oneDNN operations share: descriptions of activations, and a primitive with its bound memory.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <vector>

#include "convoy/types.hpp"
#include "cpu/context.hpp"

namespace convoy::cpu {

dnnl::memory::data_type data_type(DType type);

// oneDNN's name of the layout of activations that lie in blocks of native_block channels, or with channels last.
dnnl::memory::format_tag native_tag(const Context& context);

// An activation [batch, extent] in this backend's layout, logical dimensions N,C,H,W.
dnnl::memory::desc activation_description(int batch, const Extent& extent, DType type, const Context& context);

// A vector of fp32 values, or nothing.
dnnl::memory::desc vector_description(bool present, int length);

// Attributes with scratch memory given by the caller, so that nothing is allocated in a step.
dnnl::primitive_attr planned_attributes();

bool is_reference_implementation(const std::string& implementation);

// A primitive and the memory it reads and writes. Binding the address that is bound already costs nothing, so a
// replayed step only executes.
class Call {
 public:
  Call() = default;
  explicit Call(dnnl::primitive primitive) : primitive_(std::move(primitive)) {}

  // Declares an argument (DNNL_ARG_...) once; its address comes with bind.
  void declare(int argument, const dnnl::memory::desc& description, const dnnl::engine& engine);
  void bind(int argument, const void* data);
  void execute(const Context& context) const;
  explicit operator bool() const { return static_cast<bool>(primitive_.get(true)); }

 private:
  dnnl::primitive primitive_;
  std::vector<dnnl::memory> memories_;
  std::vector<dnnl_exec_arg_t> arguments_;  // the same, as the C API takes them
};

// A reorder between two descriptions of one tensor; nothing where they are equal.
class Reorder {
 public:
  Reorder() = default;
  Reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to, const Context& context);
  bool is_needed() const { return static_cast<bool>(call_); }
  void run(const void* from, void* to, const Context& context);

 private:
  Call call_;
};

// In place: a gradient becomes zero where ReLU's output was not positive; nothing where there is no ReLU.
class ReluBackward {
 public:
  ReluBackward() = default;
  ReluBackward(const dnnl::memory::desc& data, const Context& context);
  void run(const void* output, void* gradient, const Context& context);

 private:
  Call call_;
};

}  // namespace convoy::cpu
