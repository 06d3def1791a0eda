// What operations need of the memory planner, keep from pass to pass and have to do at least, whatever backend computes
// them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "convoy/operation.hpp"
#include "convoy/types.hpp"

namespace convoy {

// The tensors of a batch as a backend stores them, with the padding of its layout.
struct StoredTensors {
  StoredTensors() = default;
  StoredTensors(std::int64_t sample_input, std::int64_t sample_output, int batch, DType compute)
      : input(static_cast<std::size_t>(sample_input) * batch),
        output(static_cast<std::size_t>(sample_output) * batch),
        samples(batch),
        element(bytes_per_element(compute)) {}

  std::size_t input_bytes() const { return input * element; }
  std::size_t output_bytes() const { return output * element; }

  std::size_t input = 0, output = 0;  // elements
  int samples = 0;
  std::size_t element = 0;  // bytes
};

// But for the workspace, copies of weights and narrow gradients, which are the backend's own. Bytes are counted with
// the weights in the compute type and their gradients in fp32.
Needs convolution_needs(const ConvSpec&, Mode, const StoredTensors&);
Work convolution_work(const ConvSpec&, Mode, const StoredTensors&);
Needs dense_needs(const DenseSpec&, Mode, const StoredTensors&);
Work dense_work(const DenseSpec&, Mode, const StoredTensors&);

// A max keeps the place of each maximum in so many bytes.
Needs pool_needs(const PoolSpec&, Mode, const StoredTensors&, std::size_t place_bytes);
Work pool_work(const PoolSpec&, const Needs&, const StoredTensors&);

Needs dropout_needs(const DropoutSpec&, Mode, const StoredTensors&);
Work dropout_work(Mode, const Needs&, const StoredTensors&);

// What the spec of an epilogue and its mode say together.
struct EpilogueFacts {
  EpilogueFacts(const EpilogueSpec&, Mode);

  bool trains;
  bool is_smooth;            // its activation: the derivative follows from what the activation saw, not from its output
  bool normalises_batch;     // by the batch's own statistics
  bool wants_data_gradient;  // of the input or the residual
  bool wants_gradient;
};

// Offsets in `saved` of what an epilogue keeps for its backward pass, in bytes; kNone of what it does not.
struct EpilogueSaved {
  static constexpr std::size_t kNone = ~std::size_t{0};
  std::size_t pooled = kNone, argmax = kNone, preactivation = kNone, statistics = kNone;

  // Null of what is not kept.
  template <typename T>
  static T* at(void* saved, std::size_t offset) {
    return offset == kNone ? nullptr : reinterpret_cast<T*>(static_cast<std::byte*>(saved) + offset);
  }
};

// But for the workspace, which is the backend's own. Statistics are kept where a batch is normalised.
Needs epilogue_needs(const EpilogueSpec&, const EpilogueFacts&, const StoredTensors&, std::size_t statistics_bytes,
                     EpilogueSaved&);

}  // namespace convoy
