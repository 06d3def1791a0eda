// Descriptions of activations for oneDNN, and primitives with bound memory.
#include "cpu/dnnl_call.hpp"

#include "convoy/error.hpp"
#include "cpu/dnnl_compat.hpp"

namespace convoy::cpu {

using dnnl::memory;

memory::data_type data_type(DType type) {
  switch (type) {
    case DType::f32:
      return memory::data_type::f32;
    case DType::bf16:
      return memory::data_type::bf16;
    case DType::f16:
      return memory::data_type::f16;
  }
  fail("unknown element type {}", static_cast<int>(type));
}

memory::format_tag native_tag(const Context& context) {
  using Tag = memory::format_tag;
  if (context.native_block == kChannelsLast) return Tag::nhwc;
  return context.native_block == 16 ? Tag::nChw16c : Tag::nChw8c;
}

memory::desc activation_description(int batch, const Extent& extent, DType type, const Context& context) {
  const auto tag = context.is_native(extent) ? native_tag(context) : memory::format_tag::nchw;
  return {{batch, extent.channels, extent.height, extent.width}, data_type(type), tag};
}

memory::desc vector_description(bool present, int length) {
  if (!present) return {};
  return {{length}, memory::data_type::f32, memory::format_tag::x};
}

dnnl::primitive_attr planned_attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

bool is_reference_implementation(const std::string& implementation) {
  return implementation.find("ref") != std::string::npos;
}

void Call::declare(int argument, const memory::desc& description, const dnnl::engine& engine) {
  memories_.push_back(memory(description, engine, DNNL_MEMORY_NONE));
  arguments_.push_back({argument, memories_.back().get(true)});
}

void Call::bind(int argument, const void* data) {
  for (std::size_t i = 0; i < arguments_.size(); ++i) {
    // oneDNN's memory objects know no const; a primitive writes only its outputs.
    const bool is_new = arguments_[i].arg == argument && memories_[i].get_data_handle() != data;
    if (is_new) memories_[i].set_data_handle(const_cast<void*>(data));
  }
}

// dnnl::primitive::execute takes a map and makes a list of it, in memory that it allocates each time.
void Call::execute(const Context& context) const {
  dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), context.stream.get(),
                                                 static_cast<int>(arguments_.size()), arguments_.data()),
                          "a primitive could not be executed");
}

Reorder::Reorder(const memory::desc& from, const memory::desc& to, const Context& context) {
  if (from == to) return;
  const dnnl::reorder::primitive_desc description(context.engine, from, context.engine, to);
  call_ = Call(dnnl::reorder(description));
  call_.declare(DNNL_ARG_FROM, from, context.engine);
  call_.declare(DNNL_ARG_TO, to, context.engine);
}

void Reorder::run(const void* from, void* to, const Context& context) {
  call_.bind(DNNL_ARG_FROM, from);
  call_.bind(DNNL_ARG_TO, to);
  call_.execute(context);
}

ReluBackward::ReluBackward(const memory::desc& data, const Context& context)
    : call_(dnnl::eltwise_backward(compat::relu_backward(context.engine, data))) {
  for (int argument : {DNNL_ARG_DST, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC}) {
    call_.declare(argument, data, context.engine);
  }
}

void ReluBackward::run(const void* output, void* gradient, const Context& context) {
  if (!call_) return;
  call_.bind(DNNL_ARG_DST, output);
  call_.bind(DNNL_ARG_DIFF_DST, gradient);
  call_.bind(DNNL_ARG_DIFF_SRC, gradient);
  call_.execute(context);
}

}  // namespace convoy::cpu
