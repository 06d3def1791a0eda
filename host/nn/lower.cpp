// The fusion of layers into operations, then the gradient flags. Layers come in a valid order, so one pass suffices:
// each layer that no earlier operation took starts an operation and takes what may follow, as far as it is the
// only reader.
#include "nn/lower.hpp"

#include <algorithm>

#include "convoy/error.hpp"

namespace convoy {
namespace {

Activation activation_of(LayerType type) {
  switch (type) {
    case LayerType::relu:
      return Activation::relu;
    case LayerType::gelu:
      return Activation::gelu;
    case LayerType::silu:
      return Activation::silu;
    default:
      return Activation::none;
  }
}

class Lowering {
 public:
  Lowering(const Network& network, const Shapes& shapes, const ParamLayout& layout, const LowerOptions& options)
      : network_(network), shapes_(shapes), layout_(layout), options_(options) {
    tensor_of_.assign(network.layers.size(), -1);
    is_taken_.assign(network.layers.size(), false);
    readers_.resize(network.layers.size());
    for (int i = 0; i < layer_count(); ++i)
      for (const int input : layer(i).inputs)
        if (input != kNetworkInput) readers_[static_cast<std::size_t>(input)].push_back(i);
    logits_layer_ = layer_count() - (network.layers.back().type == LayerType::scale ? 2 : 1);
  }

  LoweredNetwork run() {
    lowered_.classes = shapes_.classes;
    lowered_.tensors.push_back({.extent = shapes_.input, .producer = -1, .readers = {}, .gradient = false});
    for (int i = 0; i < layer_count(); ++i)
      if (!is_taken_[static_cast<std::size_t>(i)]) lower_layer(i);
    lowered_.logits = tensor_of_[static_cast<std::size_t>(logits_layer_)];
    mark_gradients();
    return std::move(lowered_);
  }

 private:
  int layer_count() const { return static_cast<int>(network_.layers.size()); }
  const Layer& layer(int index) const { return network_.layers[static_cast<std::size_t>(index)]; }
  const LayerShape& shape(int index) const { return shapes_.layers[static_cast<std::size_t>(index)]; }
  bool is(int index, LayerType type) const { return index >= 0 && layer(index).type == type; }

  int only_reader(int index) const {
    const std::vector<int>& readers = readers_[static_cast<std::size_t>(index)];
    return readers.size() == 1 ? readers[0] : -1;
  }
  int tensor_read_by(int index, std::size_t which = 0) const {
    const int source = layer(index).inputs[which];
    return source == kNetworkInput ? lowered_.input : tensor_of_[static_cast<std::size_t>(source)];
  }
  bool is_tiling_max_pool(int index) const {
    if (!is(index, LayerType::max_pool)) return false;
    const Layer& pool = layer(index);
    return pool.kernel == pool.stride && pool.kernel.height == pool.kernel.width && pool.kernel.height > 1 &&
           shape(index).padding == Padding{};
  }

  void lower_layer(int index) {
    switch (layer(index).type) {
      case LayerType::convolution:
        return lower_convolution(index);
      case LayerType::dense:
        return lower_dense(index);
      case LayerType::average_pool:
      case LayerType::global_average_pool:
      case LayerType::global_max_pool:
        return lower_pool(index);
      case LayerType::dropout:
        if (options_.mode == Mode::evaluate || layer(index).rate == 0) return forward_alias(index);
        return emit({index}, DropoutSpec{.input = input_extent(index),
                                         .rate = layer(index).rate,
                                         .salt = static_cast<std::uint32_t>(index)});
      case LayerType::flatten:
        return forward_alias(index);
      case LayerType::scale:
        lowered_.logit_scale = layer(index).factor;
        return forward_alias(index);
      case LayerType::max_pool:
      case LayerType::batch_normalisation:
      case LayerType::relu:
      case LayerType::gelu:
      case LayerType::silu:
      case LayerType::add:
        return lower_epilogue(index);
    }
  }

  Extent input_extent(int index) const { return shapes_.input_of(layer(index)).output; }

  // The layer's output is its input's tensor.
  void forward_alias(int index) {
    tensor_of_[static_cast<std::size_t>(index)] = tensor_read_by(index);
    is_taken_[static_cast<std::size_t>(index)] = true;
  }

  void lower_convolution(int index) {
    const Layer& convolution = layer(index);
    ConvSpec spec;
    spec.input = input_extent(index);
    spec.output = shape(index).output;
    spec.kernel = convolution.kernel;
    spec.stride = convolution.stride;
    spec.padding = shape(index).padding;
    spec.bias = convolution.bias;
    std::vector<int> taken = {index};
    const int next = only_reader(index);
    // ReLU commutes with max-pooling: where a pool follows, it is cheaper behind it, in the epilogue.
    if (is(next, LayerType::relu) && !is_tiling_max_pool(only_reader(next))) {
      spec.activation = Activation::relu;
      taken.push_back(next);
    }
    emit(taken, spec);
  }

  void lower_dense(int index) {
    DenseSpec spec;
    spec.input = input_extent(index);
    spec.outputs = shape(index).outputs;
    spec.bias = layer(index).bias;
    spec.float_output = index == logits_layer_;
    std::vector<int> taken = {index};
    if (const int next = only_reader(index); is(next, LayerType::relu)) {
      spec.activation = Activation::relu;
      taken.push_back(next);
    }
    emit(taken, spec);
  }

  void lower_pool(int index) {
    const Layer& pool = layer(index);
    PoolSpec spec;
    spec.input = input_extent(index);
    spec.output = shape(index).output;
    const bool is_max = pool.type == LayerType::max_pool || pool.type == LayerType::global_max_pool;
    spec.kind = is_max ? PoolSpec::Kind::max : PoolSpec::Kind::average;
    const bool is_global = pool.type == LayerType::global_average_pool || pool.type == LayerType::global_max_pool;
    spec.kernel = is_global ? Size2{spec.input.height, spec.input.width} : pool.kernel;
    spec.stride = is_global ? spec.kernel : pool.stride;
    spec.padding = shape(index).padding;
    emit({index}, spec);
  }

  // Max-pool, normalisation, addition, activation: whichever of these follow one another, from `first` on.
  void lower_epilogue(int first) {
    EpilogueSpec spec;
    spec.input = input_extent(first);
    spec.group_size = options_.normalisation_group;
    int input = tensor_read_by(first), residual = -1;
    std::vector<int> taken;
    int next = first;
    const auto take = [&] {
      taken.push_back(next);
      next = only_reader(next);
    };

    if (is(next, LayerType::relu) && is_tiling_max_pool(only_reader(next))) {
      spec.activation = Activation::relu;
      take();
      spec.pool = layer(next).kernel.height;
      take();
      next = -1;
    }
    if (is_tiling_max_pool(next)) {
      spec.pool = layer(next).kernel.height;
      take();
    }
    if (is(next, LayerType::batch_normalisation)) {
      spec.normalise = true;
      spec.epsilon = layer(next).epsilon;
      spec.statistics_momentum = options_.batch_statistics ? 1.0F : layer(next).momentum;
      take();
    }
    if (is(next, LayerType::add)) {
      const bool second_is_ours = !taken.empty() && layer(next).inputs[1] == taken.back();
      const int other = tensor_read_by(next, second_is_ours ? 0 : 1);
      if (other >= 0) {  // else the other branch is lowered later, and takes the addition
        residual = other;
        spec.residual = true;
        take();
      }
    }
    if (next >= 0 && activation_of(layer(next).type) != Activation::none) {
      spec.activation = activation_of(layer(next).type);
      take();
    }
    if (taken.empty() || (taken.size() == 1 && is(taken[0], LayerType::max_pool))) return lower_pool(first);
    spec.output = shape(taken.back()).output;
    emit(taken, spec, input, residual);
  }

  void emit(const std::vector<int>& taken, OperationSpec spec) {
    emit(taken, std::move(spec), tensor_read_by(taken[0]), -1);
  }

  void emit(const std::vector<int>& taken, OperationSpec spec, int input, int residual) {
    if (input == residual && options_.mode == Mode::train)
      fail_usage("{}: it adds a tensor to itself; remove it", describe_place(network_, layer(taken.back())));
    LoweredOperation operation;
    const int self = static_cast<int>(lowered_.operations.size());
    operation.spec = std::move(spec);
    operation.input = input;
    operation.residual = residual;
    operation.output = static_cast<int>(lowered_.tensors.size());
    for (const int index : taken) {
      is_taken_[static_cast<std::size_t>(index)] = true;
      tensor_of_[static_cast<std::size_t>(index)] = operation.output;
      operation.layers.push_back(layer(index).name);
      take_parameters(index, operation);
    }
    if (operation.name.empty()) operation.name = operation.layers[0];
    lowered_.tensors.push_back(
        {.extent = shape(taken.back()).output, .producer = self, .readers = {}, .gradient = false});
    tensor(input).readers.push_back(self);
    if (residual >= 0) tensor(residual).readers.push_back(self);
    lowered_.operations.push_back(std::move(operation));
  }

  void take_parameters(int index, LoweredOperation& operation) const {
    for (std::size_t i = 0; i < layout_.parameters.size(); ++i) {
      const Parameter& parameter = layout_.parameters[i];
      if (parameter.layer != index) continue;
      operation.name = layer(index).name;
      switch (parameter.kind) {
        case ParameterKind::filters:
        case ParameterKind::dense:
        case ParameterKind::scale:
          operation.weights = static_cast<int>(i);
          break;
        case ParameterKind::bias:
        case ParameterKind::shift:
          operation.bias = static_cast<int>(i);
          break;
        case ParameterKind::running_mean:
          operation.running_mean = static_cast<int>(i);
          break;
        case ParameterKind::running_variance:
          operation.running_variance = static_cast<int>(i);
          break;
      }
    }
  }

  bool trains(int parameter) const {
    if (parameter < 0 || options_.mode == Mode::evaluate) return false;
    const Parameter& found = layout_.parameters[static_cast<std::size_t>(parameter)];
    return found.trainable() && !(options_.frozen && options_.frozen(found));
  }

  LoweredTensor& tensor(int index) { return lowered_.tensors[static_cast<std::size_t>(index)]; }

  void mark_gradients() {
    for (LoweredOperation& operation : lowered_.operations) {
      const bool weights = trains(operation.weights), bias = trains(operation.bias);
      const bool input = tensor(operation.input).gradient;
      const bool residual = operation.residual >= 0 && tensor(operation.residual).gradient;
      operation.backward = weights || bias || input || residual;
      tensor(operation.output).gradient = operation.backward;
      std::visit(
          [&](auto& spec) {
            spec.input_gradient = input;
            if constexpr (requires { spec.weights_gradient; }) {
              spec.weights_gradient = weights;
              spec.bias_gradient = bias;
            }
            if constexpr (requires { spec.scale_gradient; }) {
              spec.scale_gradient = weights;
              spec.shift_gradient = bias;
              spec.residual_gradient = residual;
            }
          },
          operation.spec);
      if (auto* epilogue = std::get_if<EpilogueSpec>(&operation.spec)) take_bias_gradient(operation, *epilogue);
    }
  }

  // Where a convolution wants no gradient but its bias's, a smooth activation behind it sums that itself, and the
  // tensor between them needs no gradient.
  void take_bias_gradient(LoweredOperation& operation, EpilogueSpec& epilogue) {
    LoweredTensor& input = tensor(operation.input);
    if (!epilogue.input_gradient || input.readers.size() > 1) return;
    LoweredOperation& before = lowered_.operations[static_cast<std::size_t>(input.producer)];
    auto* convolution = std::get_if<ConvSpec>(&before.spec);
    if (convolution == nullptr || convolution->weights_gradient || convolution->input_gradient) return;
    const bool is_smooth = epilogue.activation == Activation::gelu || epilogue.activation == Activation::silu;
    if (!is_smooth || epilogue.pool > 1 || epilogue.normalise || epilogue.residual) return;
    operation.bias = before.bias;
    epilogue.bias_gradient = true;
    epilogue.input_gradient = convolution->bias_gradient = before.backward = input.gradient = false;
  }

  const Network& network_;
  const Shapes& shapes_;
  const ParamLayout& layout_;
  const LowerOptions& options_;
  int logits_layer_ = 0;
  std::vector<std::vector<int>> readers_;  // by layer: the layers that read it
  std::vector<int> tensor_of_;             // by layer: its output, -1 where it is not lowered yet
  std::vector<bool> is_taken_;             // by layer: part of an operation, or an alias
  LoweredNetwork lowered_;
};

}  // namespace

LoweredNetwork lower(const Network& network, const Shapes& shapes, const ParamLayout& layout,
                     const LowerOptions& options) {
  CONVOY_CHECK(!network.layers.empty() && shapes.layers.size() == network.layers.size(),
               "{}: the shapes belong to another network", network.origin);
  return Lowering(network, shapes, layout, options).run();
}

bool input_gradient(const OperationSpec& spec) {
  return std::visit([](const auto& s) { return s.input_gradient; }, spec);
}

}  // namespace convoy
