// A lowered network planned on a backend for one batch size and one mode: every operation, the memory of all
// activations, and the order of the calls. It owns no device memory: `bind` is told where everything lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "convoy/backend.hpp"
#include "nn/lower.hpp"
#include "nn/memory_plan.hpp"
#include "nn/parameters.hpp"

namespace convoy {

// Device memory a program works on.
struct ProgramMemory {
  std::byte* activations = nullptr;      // activation_bytes()
  std::byte* weight_copies = nullptr;    // weight_copy_bytes()
  float* weights = nullptr;              // the whole parameter buffer (weights, statistics, frozen)
  const void* narrow_weights = nullptr;  // the same in the compute type; null where Backend::narrow_bytes is 0
  float* gradients = nullptr;            // trainable_elements; null in evaluation
  void* narrow_gradients = nullptr;      // narrow_gradient_bytes()
  const StepRow* row = nullptr;          // the current row
  const std::int32_t* order = nullptr;
};

enum class Pass : std::uint8_t { forward, backward };

class Program {
 public:
  // `network` was lowered for `mode`. Throws Error naming the operation that the backend refuses.
  Program(Backend& backend, LoweredNetwork network, const ParamLayout& layout, int batch, Mode mode);

  std::size_t activation_bytes() const { return plan_.bytes; }
  std::size_t weight_copy_bytes() const { return weight_copy_bytes_; }
  std::size_t narrow_gradient_bytes() const;  // 0: every operation writes its gradients in fp32
  void bind(const ProgramMemory& memory);

  // Each enqueues on the backend; after bind.
  void refresh_weight_copies();
  void forward();
  // Told the number of each operation of the pass, once its weight gradients are complete: in `gradients` after
  // complete_gradients, which may then be called, and is at the end.
  using GradientReady = std::function<void(int operation)>;
  void backward(const GradientReady& ready = {});
  void complete_gradients();

  // Called after each operation of either pass, once it is enqueued.
  using OperationDone = std::function<void(Pass pass, int operation)>;
  void on_operation(OperationDone call) { on_operation_ = std::move(call); }
  void on_progress(std::function<void()> call) {
    on_operation([call = std::move(call)](Pass, int) { call(); });
  }

  int batch() const { return batch_; }
  const LoweredNetwork& network() const { return network_; }
  void* input() const { return tensor_data_[network_.input]; }
  const float* logits() const { return static_cast<const float*>(tensor_data_[network_.logits]); }
  void* logits_gradient() const { return gradient_data_[network_.logits]; }
  // Where a tensor lies, and its gradient, while the operations that need them run; null: it has none.
  const void* value(int tensor) const { return tensor_data_[static_cast<std::size_t>(tensor)]; }
  const void* gradient(int tensor) const { return gradient_data_[static_cast<std::size_t>(tensor)]; }

  // For `bench --layers`: one planned operation and where its memory lies.
  struct Node {
    std::unique_ptr<Operation> operation;
    Operands forward, backward;  // differ in the workspace
    // Where this operation's gradients are not the first of a tensor that several read: what to add to what.
    struct Sum {
      int tensor = 0;
      void* total = nullptr;
      const void* part = nullptr;
    };
    std::vector<Sum> sums;
  };
  const std::vector<Node>& nodes() const { return nodes_; }

 private:
  void plan_buffers();
  void backward(std::size_t index, const GradientReady& ready);
  std::size_t gradient_bytes(const LoweredTensor& tensor) const;

  Backend& backend_;
  LoweredNetwork network_;
  ParamLayout layout_;
  int batch_;
  Mode mode_;
  std::vector<Node> nodes_;
  std::vector<Needs> needs_;

  // Buffers of the plan, by tensor and by operation; -1: none.
  std::vector<Lifetime> buffers_;
  std::vector<int> tensor_buffer_, gradient_buffer_;
  std::vector<int> saved_buffer_, forward_workspace_, backward_workspace_;
  std::vector<int> partial_input_, partial_residual_;  // gradients to be added to an earlier one
  MemoryPlan plan_;
  std::vector<std::size_t> weight_copy_offset_;
  std::size_t weight_copy_bytes_ = 0;

  std::vector<void*> tensor_data_, gradient_data_;
  const void* narrow_gradients_ = nullptr;
  float* gradients_ = nullptr;
  std::vector<ElementRange> unwidened_;  // gradients in the compute type alone, so far
  OperationDone on_operation_ = [](Pass, int) {};
};

}  // namespace convoy
