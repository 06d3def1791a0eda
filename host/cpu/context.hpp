// What every operation of the CPU backend is planned with: the compute type, the layout rule, the kernels of this
// processor's instruction set, and oneDNN's engine and stream.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "convoy/types.hpp"
#include "cpu/kernels/kernels.hpp"
#include "cpu/layout.hpp"

namespace convoy::cpu {

struct Context {
  dnnl::engine engine;
  dnnl::stream stream;
  DType compute = DType::f32;
  int native_block = 8;              // channels per block, or kChannelsLast, see layout.hpp
  bool winograd = true;              // where it is faster, see winograd.hpp
  int threads = 1;                   // of OpenMP, for this worker
  const Kernels* kernels = nullptr;  // the hot loops for this processor

  Layout layout(const Extent& extent) const { return layout_of(extent, native_block); }
  // Whether the activation lies in oneDNN's format for native_block, rather than as planes or a plain vector.
  bool is_native(const Extent& extent) const {
    return native_block == kChannelsLast || layout(extent).block == native_block;
  }
};

}  // namespace convoy::cpu
