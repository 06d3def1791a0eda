// See operation_trial.hpp.
#include "train/operation_trial.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "convoy/philox.hpp"
#include "nn/operation_shape.hpp"

namespace convoy {
namespace {

// `count` values uniform between least and most; `salt` tells tensors apart.
std::vector<float> random_values(std::size_t count, float least, float most, std::uint64_t seed, std::uint32_t salt) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Random4 bits = random_bits(seed, Purpose::synthetic, 0, i, salt);
    values[i] = least + (most - least) * uniform(bits.x);
  }
  return values;
}

std::size_t elements(int batch, const Extent& extent) {
  return static_cast<std::size_t>(batch) * static_cast<std::size_t>(extent.elements());
}

// Device memory of one trial.
class Buffers {
 public:
  explicit Buffers(Backend& backend) : backend_(backend) {}

  void* allocate(std::size_t bytes) {
    return bytes == 0 ? nullptr : arenas_.emplace_back(backend_.allocate(bytes, "a tensor on trial")).data();
  }
  float* floats(const std::vector<float>& values) {
    auto* data = static_cast<float*>(allocate(values.size() * sizeof(float)));
    if (data != nullptr) backend_.upload(data, values.data(), values.size() * sizeof(float));
    return data;
  }
  void* activation(int batch, const Extent& extent, const std::vector<float>& values) {
    if (values.empty()) return nullptr;
    void* data = allocate(backend_.activation_bytes(batch, extent));
    backend_.pack_activation(batch, extent, values.data(), data);
    return data;
  }
  template <typename T>
  T* copy_of(const std::vector<T>& values) {
    void* data = allocate(values.size() * sizeof(T));
    backend_.upload(data, values.data(), values.size() * sizeof(T));
    return static_cast<T*>(data);
  }

 private:
  Backend& backend_;
  std::vector<Arena> arenas_;
};

std::vector<float> rounded(Backend& backend, int batch, const Extent& extent, std::vector<float> values) {
  Buffers buffers(backend);
  const void* packed = buffers.activation(batch, extent, values);
  if (packed != nullptr) backend.unpack_activation(batch, extent, packed, values.data());
  return values;
}

}  // namespace

TrialTensors trial_tensors(Backend& backend, const OperationSpec& spec, int batch, std::uint64_t seed) {
  const OperationShape shape = shape_of(spec);
  const std::size_t inputs = elements(batch, shape.input), outputs = elements(batch, shape.output);
  TrialTensors given;
  // Means that are not 0: what is cancelled must not hide.
  given.input = rounded(backend, batch, shape.input, random_values(inputs, -1, 1.5F, seed, 1));
  given.output_gradient = rounded(backend, batch, shape.output, random_values(outputs, -1, 1.25F, seed, 2));
  if (shape.residual) {
    given.residual = rounded(backend, batch, shape.output, random_values(outputs, -1, 1, seed, 3));
  }
  if (shape.statistics != 0) {
    given.weights = random_values(shape.weights, 0.5F, 1.5F, seed, 4);
  } else if (shape.weights != 0) {
    const double fan_in = static_cast<double>(shape.weights) / shape.output.channels;
    const auto most = static_cast<float>(std::sqrt(3 / fan_in));
    const Extent row{1, 1, static_cast<int>(shape.weights)};
    given.weights = rounded(backend, 1, row, random_values(shape.weights, -most, most, seed, 4));
  }
  given.bias = random_values(shape.bias, -0.5F, 0.5F, seed, 5);
  given.running_mean = random_values(shape.statistics, -0.5F, 0.5F, seed, 6);
  given.running_variance = random_values(shape.statistics, 0.5F, 1.5F, seed, 7);
  return given;
}

TrialResults run_trial(Backend& backend, const OperationSpec& spec, int batch, const TrialTensors& given) {
  const OperationShape shape = shape_of(spec);
  const std::unique_ptr<Operation> operation = backend.plan(spec, batch, Mode::train);
  const Needs needs = operation->needs();
  Buffers buffers(backend);
  std::vector<std::int32_t> order(static_cast<std::size_t>(batch));
  std::iota(order.begin(), order.end(), 0);

  Operands operands;
  operands.input = buffers.activation(batch, shape.input, given.input);
  operands.residual = buffers.activation(batch, shape.output, given.residual);
  operands.output = buffers.allocate(needs.output);
  operands.saved = buffers.allocate(needs.saved);
  operands.workspace = buffers.allocate(needs.workspace);
  operands.weight_copies = buffers.allocate(needs.weight_copies);
  operands.output_gradient = buffers.activation(batch, shape.output, given.output_gradient);
  if (shape.input_gradient) {
    operands.input_gradient =
        buffers.allocate(std::max(needs.input_gradient, backend.activation_bytes(batch, shape.input)));
  }
  if (shape.residual_gradient)
    operands.residual_gradient = buffers.allocate(backend.activation_bytes(batch, shape.output));
  operands.weights = buffers.floats(given.weights);
  operands.bias = buffers.floats(given.bias);
  const auto narrow = [&](const float* values, std::size_t count) {
    void* narrowed = buffers.allocate(backend.narrow_bytes(count));
    if (narrowed != nullptr) backend.narrow(values, count, narrowed);
    return narrowed;
  };
  operands.narrow_weights = narrow(operands.weights, shape.weights);
  operands.narrow_bias = narrow(operands.bias, shape.bias);
  if (shape.weights_gradient)
    operands.weights_gradient = static_cast<float*>(buffers.allocate(shape.weights * sizeof(float)));
  if (needs.narrow_gradient) operands.narrow_weights_gradient = buffers.allocate(backend.narrow_bytes(shape.weights));
  if (shape.bias_gradient) operands.bias_gradient = static_cast<float*>(buffers.allocate(shape.bias * sizeof(float)));
  operands.running_mean = buffers.floats(given.running_mean);
  operands.running_variance = buffers.floats(given.running_variance);
  operands.row = buffers.copy_of(std::vector<StepRow>{{.seed = 1, .epoch = 1, .count = batch}});
  operands.order = buffers.copy_of(order);

  operation->refresh(operands);
  operation->forward(operands);
  TrialResults results;
  const auto take_floats = [&](const char* name, const float* data, std::size_t count) {
    if (data == nullptr || count == 0) return;
    results[name].resize(count);
    backend.download(results[name].data(), data, count * sizeof(float));
  };
  const auto take_activation = [&](const char* name, const void* data, const Extent& extent) {
    if (data == nullptr) return;
    results[name].resize(elements(batch, extent));
    backend.unpack_activation(batch, extent, data, results[name].data());
  };
  if (shape.float_output) {
    take_floats("output", static_cast<const float*>(operands.output), elements(batch, shape.output));
  } else {
    take_activation("output", operands.output, shape.output);
  }
  operation->backward_begin(operands);
  operation->backward_weights(operands);
  operation->backward_data(operands);
  if (needs.narrow_gradient) {
    const ElementRange all{0, shape.weights};
    backend.widen({&all, 1}, operands.narrow_weights_gradient, operands.weights_gradient);
  }
  take_activation("input gradient", operands.input_gradient, shape.input);
  take_activation("residual gradient", operands.residual_gradient, shape.output);
  take_floats("weights gradient", operands.weights_gradient, shape.weights);
  take_floats("bias gradient", operands.bias_gradient, shape.bias);
  take_floats("running mean", operands.running_mean, shape.statistics);
  take_floats("running variance", operands.running_variance, shape.statistics);
  return results;
}

double relative_error(const std::vector<float>& found, const std::vector<float>& expected) {
  if (found.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double apart = static_cast<double>(found[i]) - static_cast<double>(expected[i]);
    difference += apart * apart;
    size += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
  }
  if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
  return difference == 0 ? 0 : std::sqrt(difference / size);
}

}  // namespace convoy
