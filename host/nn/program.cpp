// Plans the operations, lays out their memory by lifetimes, and calls them in order.
#include "nn/program.hpp"

#include <algorithm>
#include <utility>

#include "nn/naming.hpp"

namespace convoy {
namespace {

// The clock of one step: operation i runs forward at time i, the loss at n, its backward at 2n - i.
struct StepClock {
  int operations;
  int forward(int operation) const { return operation; }
  int loss() const { return operations; }
  int backward(int operation) const { return 2 * operations - operation; }
};

}  // namespace

Program::Program(Backend& backend, LoweredNetwork network, const ParamLayout& layout, int batch, Mode mode)
    : backend_(backend), network_(std::move(network)), layout_(layout), batch_(batch), mode_(mode) {
  for (const LoweredOperation& lowered : network_.operations) {
    naming(lowered.name, [&] {
      Node node;
      node.operation = backend_.plan(lowered.spec, batch_, mode_);
      needs_.push_back(node.operation->needs());
      nodes_.push_back(std::move(node));
    });
    weight_copy_offset_.push_back(weight_copy_bytes_);
    weight_copy_bytes_ += align_up(needs_.back().weight_copies);
  }
  plan_buffers();
}

std::size_t Program::gradient_bytes(const LoweredTensor& tensor) const {
  return backend_.activation_bytes(batch_, tensor.extent);
}

void Program::plan_buffers() {
  const int operations = static_cast<int>(network_.operations.size());
  const int tensors = static_cast<int>(network_.tensors.size());
  const bool trains = mode_ == Mode::train;
  const StepClock time{operations};
  const auto add = [this](std::size_t bytes, int first, int last) {
    buffers_.push_back({bytes, first, last});
    return static_cast<int>(buffers_.size()) - 1;
  };
  tensor_buffer_.assign(tensors, -1);
  gradient_buffer_.assign(tensors, -1);
  for (std::vector<int>* by_operation :
       {&saved_buffer_, &forward_workspace_, &backward_workspace_, &partial_input_, &partial_residual_}) {
    by_operation->assign(operations, -1);
  }

  // Values: from the producer to the last reader, or to the backward pass of whoever reads it there.
  for (int t = 0; t < tensors; ++t) {
    const LoweredTensor& tensor = network_.tensors[t];
    const bool is_input = tensor.producer < 0;
    const int first = is_input ? 0 : time.forward(tensor.producer);
    int last = t == network_.logits ? time.loss() : first;
    for (const int reader : tensor.readers) {
      last = std::max(last, time.forward(reader));
      const LoweredOperation& operation = network_.operations[reader];
      if (trains && operation.backward && operation.input == t && needs_[reader].backward_reads_input) {
        last = std::max(last, time.backward(reader));
      }
    }
    if (trains && !is_input && network_.operations[tensor.producer].backward &&
        needs_[tensor.producer].backward_reads_output) {
      last = std::max(last, time.backward(tensor.producer));
    }
    const std::size_t bytes =
        is_input ? backend_.activation_bytes(batch_, tensor.extent) : needs_[tensor.producer].output;
    // In place: this operation's output takes over the memory of an input that nobody else wants.
    if (!is_input && needs_[tensor.producer].forward_in_place) {
      const int source = network_.operations[tensor.producer].input;
      const LoweredTensor& input = network_.tensors[source];
      Lifetime& shared = buffers_[tensor_buffer_[source]];
      if (input.readers.size() == 1 && shared.last == first && shared.bytes == bytes) {
        shared.last = last;
        tensor_buffer_[t] = tensor_buffer_[source];
        continue;
      }
    }
    tensor_buffer_[t] = add(bytes, first, last);
  }

  for (int i = 0; i < operations; ++i) {
    const LoweredOperation& operation = network_.operations[i];
    const bool goes_back = trains && operation.backward;
    if (needs_[i].saved > 0) {
      saved_buffer_[i] = add(needs_[i].saved, time.forward(i), goes_back ? time.backward(i) : time.forward(i));
    }
    if (needs_[i].workspace > 0) {
      forward_workspace_[i] = add(needs_[i].workspace, time.forward(i), time.forward(i));
      if (goes_back) backward_workspace_[i] = add(needs_[i].workspace, time.backward(i), time.backward(i));
    }
  }
  if (!trains) {
    plan_ = plan_memory(buffers_);
    return;
  }

  // Gradients, in the order of the backward pass: the first reader to come writes, the others add.
  const LoweredTensor& logits = network_.tensors[network_.logits];
  gradient_buffer_[network_.logits] =
      add(gradient_bytes(logits), time.loss(), logits.producer < 0 ? time.loss() : time.backward(logits.producer));
  for (int i = operations - 1; i >= 0; --i) {
    const LoweredOperation& operation = network_.operations[i];
    if (!operation.backward) continue;
    const auto want_gradient = [&](int t, int& partial, bool may_be_in_place) {
      const LoweredTensor& tensor = network_.tensors[t];
      if (!tensor.gradient) return;
      if (gradient_buffer_[t] >= 0) {
        partial = add(gradient_bytes(tensor), time.backward(i), time.backward(i));
        return;
      }
      const int last = time.backward(tensor.producer);
      const int own = gradient_buffer_[operation.output];
      if (may_be_in_place && needs_[i].gradient_in_place && own >= 0 && buffers_[own].bytes == gradient_bytes(tensor)) {
        buffers_[own].last = std::max(buffers_[own].last, last);
        gradient_buffer_[t] = own;
        return;
      }
      gradient_buffer_[t] = add(gradient_bytes(tensor), time.backward(i), last);
    };
    if (operation.residual >= 0) want_gradient(operation.residual, partial_residual_[i], false);
    want_gradient(operation.input, partial_input_[i], true);
  }
  plan_ = plan_memory(buffers_);
}

std::size_t Program::narrow_gradient_bytes() const {
  const bool any = std::ranges::any_of(needs_, &Needs::narrow_gradient);
  return any ? backend_.narrow_bytes(layout_.trainable_elements) : 0;
}

void Program::bind(const ProgramMemory& memory) {
  gradients_ = memory.gradients;
  narrow_gradients_ = memory.narrow_gradients;
  unwidened_.reserve(nodes_.size());
  const auto data = [&](int buffer) -> void* {
    return buffer < 0 ? nullptr : memory.activations + plan_.offsets[buffer];
  };
  tensor_data_.clear();
  gradient_data_.clear();
  for (const int buffer : tensor_buffer_) tensor_data_.push_back(data(buffer));
  for (const int buffer : gradient_buffer_) gradient_data_.push_back(data(buffer));

  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const LoweredOperation& operation = network_.operations[i];
    const auto parameter = [&](int index) -> float* {
      return index < 0 ? nullptr : memory.weights + layout_.parameters[index].offset;
    };
    const auto narrow = [&](int index) -> const void* {
      if (index < 0 || memory.narrow_weights == nullptr) return nullptr;
      return static_cast<const std::byte*>(memory.narrow_weights) +
             backend_.narrow_bytes(layout_.parameters[index].offset);
    };
    const auto gradient = [&](int index) -> float* {
      const bool is_wanted = index >= 0 && memory.gradients != nullptr && layout_.parameters[index].trainable();
      return is_wanted ? memory.gradients + layout_.parameters[index].offset : nullptr;
    };
    Node& node = nodes_[i];
    node.sums.clear();
    Operands operands;
    operands.input = tensor_data_[operation.input];
    operands.residual = operation.residual < 0 ? nullptr : tensor_data_[operation.residual];
    operands.output = tensor_data_[operation.output];
    operands.saved = data(saved_buffer_[i]);
    operands.weights = parameter(operation.weights);
    operands.bias = parameter(operation.bias);
    operands.narrow_weights = narrow(operation.weights);
    operands.narrow_bias = narrow(operation.bias);
    operands.running_mean = parameter(operation.running_mean);
    operands.running_variance = parameter(operation.running_variance);
    operands.weight_copies = memory.weight_copies + weight_copy_offset_[i];
    operands.row = memory.row;
    operands.order = memory.order;
    operands.workspace = data(forward_workspace_[i]);
    node.forward = operands;

    operands.workspace = data(backward_workspace_[i]);
    operands.output_gradient = gradient_data_[operation.output];
    operands.weights_gradient = gradient(operation.weights);
    operands.bias_gradient = gradient(operation.bias);
    if (needs_[i].narrow_gradient && operands.weights_gradient != nullptr) {
      operands.narrow_weights_gradient = static_cast<std::byte*>(memory.narrow_gradients) +
                                         backend_.narrow_bytes(layout_.parameters[operation.weights].offset);
    }
    const auto target = [&](int tensor, int partial) -> void* {
      if (tensor < 0 || !network_.tensors[tensor].gradient) return nullptr;
      if (partial < 0) return gradient_data_[tensor];
      node.sums.push_back({tensor, gradient_data_[tensor], data(partial)});
      return data(partial);
    };
    operands.input_gradient = target(operation.input, partial_input_[i]);
    operands.residual_gradient = target(operation.residual, partial_residual_[i]);
    node.backward = operands;
  }
}

void Program::refresh_weight_copies() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    naming(network_.operations[i].name, [&] { nodes_[i].operation->refresh(nodes_[i].forward); });
  }
}

void Program::forward() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    as_operation(backend_, network_.operations[i].name, [&] { nodes_[i].operation->forward(nodes_[i].forward); });
    on_operation_(Pass::forward, static_cast<int>(i));
  }
}

void Program::backward(const GradientReady& ready) {
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    if (!network_.operations[i].backward) continue;
    as_operation(backend_, network_.operations[i].name, [&] { backward(i, ready); });
    on_operation_(Pass::backward, static_cast<int>(i));
  }
  complete_gradients();
}

void Program::backward(std::size_t index, const GradientReady& ready) {
  Node& node = nodes_[index];
  node.operation->backward_begin(node.backward);
  node.operation->backward_weights(node.backward);
  if (node.backward.narrow_weights_gradient != nullptr) {
    const Parameter& weights = layout_.parameters[network_.operations[index].weights];
    unwidened_.push_back({weights.offset, weights.count});
  }
  if (ready) ready(static_cast<int>(index));
  node.operation->backward_data(node.backward);
  for (const Node::Sum& sum : node.sums) {
    backend_.add_gradient(batch_, network_.tensors[sum.tensor].extent, sum.total, sum.part);
  }
}

void Program::complete_gradients() {
  if (unwidened_.empty()) return;
  as_operation(backend_, "widen gradients", [&] { backend_.widen(unwidened_, narrow_gradients_, gradients_); });
  unwidened_.clear();
}

}  // namespace convoy
