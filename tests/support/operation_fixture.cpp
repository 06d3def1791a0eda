// See operation_fixture.hpp.
#include "support/operation_fixture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "convoy/error.hpp"
#include "support/guarded_buffer.hpp"
#include "support/narrow_weights.hpp"
#include "support/rounding.hpp"

namespace convoy::test {
namespace {

std::size_t activation_elements(int batch, const Extent& extent) { return reference::elements(batch, extent); }

// A tensor of fp32 values as they lie, on the device.
GuardedBuffer uploaded(Backend& backend, const std::vector<float>& values, const std::string& what) {
  GuardedBuffer buffer(backend, values.size() * sizeof(float), what);
  if (!values.empty()) backend.upload(buffer.data(), values.data(), buffer.bytes());
  backend.wait();
  return buffer;
}

std::vector<float> downloaded(Backend& backend, const GuardedBuffer& buffer, std::size_t count) {
  std::vector<float> values(count);
  if (count != 0) backend.download(values.data(), buffer.data(), count * sizeof(float));
  return values;
}

// An activation, packed; `bytes` is what the planner would give it.
GuardedBuffer packed(Backend& backend, int batch, const Extent& extent, const std::vector<float>& values,
                     std::size_t bytes, const std::string& what) {
  GuardedBuffer buffer(backend, values.empty() ? 0 : std::max(bytes, backend.activation_bytes(batch, extent)), what);
  if (!values.empty()) backend.pack_activation(batch, extent, values.data(), buffer.data());
  backend.wait();
  return buffer;
}

std::vector<float> unpacked(Backend& backend, int batch, const Extent& extent, const void* data) {
  std::vector<float> values(activation_elements(batch, extent));
  backend.unpack_activation(batch, extent, data, values.data());
  backend.wait();
  return values;
}

// What an operation writes must be what packing the same values gives: where the layout pads channels, zeros. Unless
// it wrote what packing may alter: not a number, or so small that the processor's own conversion to bf16 takes it for
// zero (VCVTNEPS2BF16, in oneDNN's hands, does so with subnormals).
std::vector<float> unpacked_and_checked(Backend& backend, int batch, const Extent& extent, const GuardedBuffer& buffer,
                                        const std::string& what) {
  const std::vector<float> values = unpacked(backend, batch, extent, buffer.data());
  const std::size_t bytes = backend.activation_bytes(batch, extent);
  const GuardedBuffer again = packed(backend, batch, extent, values, bytes, what);
  std::vector<unsigned char> found = buffer.contents(), expected = again.contents();
  found.resize(bytes), expected.resize(bytes);
  const auto survives_packing = [](float value) { return value == 0 || std::isnormal(value); };
  if (std::all_of(values.begin(), values.end(), survives_packing)) {
    EXPECT_TRUE(found == expected) << what << ": the layout's padding is not zero, or not all of it was written";
  }
  return values;
}

// Everything that lies in the backend's memory during one run.
struct Buffers {
  GuardedBuffer input, residual, output, saved, workspace, output_gradient, input_gradient, residual_gradient;
  GuardedBuffer weights, bias, weights_gradient, bias_gradient, running_mean, running_variance, weight_copies;
  GuardedBuffer narrow_weights, narrow_bias, narrow_gradient;
  GuardedBuffer row, order;

  std::vector<const GuardedBuffer*> all() const {
    return {&input,
            &residual,
            &output,
            &saved,
            &workspace,
            &output_gradient,
            &input_gradient,
            &residual_gradient,
            &weights,
            &bias,
            &weights_gradient,
            &bias_gradient,
            &running_mean,
            &running_variance,
            &weight_copies,
            &narrow_weights,
            &narrow_bias,
            &narrow_gradient,
            &row,
            &order};
  }
};

// Which gradients a run computes: what the spec asks for, of the parameters that exist.
struct Wanted {
  bool input, residual, weights, bias;
};

Wanted wanted_by(const OperationShape& shape, Mode mode, const Tensors& tensors) {
  const bool train = mode == Mode::train;
  return {train && shape.input_gradient, train && shape.residual && shape.residual_gradient,
          train && shape.weights_gradient && !tensors.weights.empty(),
          train && shape.bias_gradient && !tensors.bias.empty()};
}

Buffers allocate(Backend& backend, const OperationShape& shape, const Needs& needs, int batch, Mode mode,
                 const Tensors& tensors, const RunOptions& options) {
  const Wanted wanted = wanted_by(shape, mode, tensors);
  const bool offer = options.offer_unwanted_gradients && mode == Mode::train;
  const std::size_t input_bytes = backend.activation_bytes(batch, shape.input);
  const std::size_t output_bytes = backend.activation_bytes(batch, shape.output);
  const auto gradient_bytes = [&](bool is_wanted, std::size_t bytes) { return is_wanted || offer ? bytes : 0; };
  const auto plain = [&](std::size_t bytes, const char* what) { return GuardedBuffer(backend, bytes, what); };
  Buffers buffers{
      packed(backend, batch, shape.input, tensors.input, 0, "input"),
      packed(backend, batch, shape.output, tensors.residual, 0, "residual"),
      plain(needs.output, "output"),
      plain(needs.saved, "saved"),
      plain(needs.workspace, "workspace"),
      packed(backend, batch, shape.output, mode == Mode::train ? tensors.output_gradient : std::vector<float>{}, 0,
             "output_gradient"),
      plain(gradient_bytes(wanted.input, std::max(needs.input_gradient, input_bytes)), "input_gradient"),
      plain(shape.residual ? gradient_bytes(wanted.residual, output_bytes) : 0, "residual_gradient"),
      uploaded(backend, tensors.weights, "weights"),
      uploaded(backend, tensors.bias, "bias"),
      plain(gradient_bytes(wanted.weights, tensors.weights.size() * sizeof(float)), "weights_gradient"),
      plain(gradient_bytes(wanted.bias, tensors.bias.size() * sizeof(float)), "bias_gradient"),
      uploaded(backend, tensors.running_mean, "running_mean"),
      uploaded(backend, tensors.running_variance, "running_variance"),
      plain(needs.weight_copies, "weight_copies"),
      narrow_weights(backend, uploaded(backend, tensors.weights, "weights"), "narrow_weights"),
      narrow_weights(backend, uploaded(backend, tensors.bias, "bias"), "narrow_bias"),
      plain(needs.narrow_gradient ? backend.narrow_bytes(tensors.weights.size()) : 0, "narrow_weights_gradient"),
      plain(sizeof(StepRow), "row"),
      plain(tensors.order.size() * sizeof(std::int32_t), "order"),
  };
  backend.upload(buffers.row.data(), &tensors.row, sizeof(StepRow));
  if (!tensors.order.empty()) backend.upload(buffers.order.data(), tensors.order.data(), buffers.order.bytes());
  backend.wait();
  return buffers;
}

Operands operands_of(const Buffers& buffers) {
  Operands operands;
  operands.input = buffers.input.data();
  operands.residual = buffers.residual.data();
  operands.output = buffers.output.data();
  operands.saved = buffers.saved.data();
  operands.workspace = buffers.workspace.data();
  operands.output_gradient = buffers.output_gradient.data();
  operands.input_gradient = buffers.input_gradient.data();
  operands.residual_gradient = buffers.residual_gradient.data();
  operands.weights = buffers.weights.as<float>();
  operands.bias = buffers.bias.as<float>();
  operands.weights_gradient = buffers.weights_gradient.as<float>();
  operands.bias_gradient = buffers.bias_gradient.as<float>();
  operands.running_mean = buffers.running_mean.as<float>();
  operands.running_variance = buffers.running_variance.as<float>();
  operands.weight_copies = buffers.weight_copies.data();
  operands.narrow_weights = buffers.narrow_weights.data();
  operands.narrow_bias = buffers.narrow_bias.data();
  operands.narrow_weights_gradient = buffers.narrow_gradient.data();
  operands.row = buffers.row.as<StepRow>();
  operands.order = buffers.order.as<std::int32_t>();
  return operands;
}

bool can_run_in_place(const Needs& needs) {
  return (needs.forward_in_place && !needs.backward_reads_input) || needs.gradient_in_place;
}

template <typename Call>
void then_spoil_workspace(Backend& backend, Buffers& buffers, const Call& call) {
  call();
  backend.wait();
  buffers.workspace.poison();
}

void check_gradient_wishes(const Buffers& buffers, const Wanted& wanted, Mode mode) {
  if (mode != Mode::train) return;
  const auto untouched = [](const GuardedBuffer& buffer, bool is_wanted, const char* what) {
    EXPECT_TRUE(is_wanted || buffer.is_poisoned()) << what << " was written, although the spec asks for none";
  };
  untouched(buffers.input_gradient, wanted.input, "input_gradient");
  untouched(buffers.residual_gradient, wanted.residual, "residual_gradient");
  untouched(buffers.weights_gradient, wanted.weights, "weights_gradient");
  untouched(buffers.bias_gradient, wanted.bias, "bias_gradient");
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {}
  double uniform(double low, double high) {  // splitmix64 (Steele, Lea and Flood 2014)
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return low + (high - low) * static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }
  std::vector<float> tensor(std::size_t count, double low, double high) {
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(uniform(low, high));
    return values;
  }

 private:
  std::uint64_t state_;
};

void round_all(std::vector<float>& values, DType type) {
  for (float& value : values) value = rounded(value, type);
}

// The window of a max-pooling in this operation; 1 x 1 where there is none.
Size2 max_window(const OperationSpec& spec) {
  if (const auto* epilogue = std::get_if<EpilogueSpec>(&spec)) return {epilogue->pool, epilogue->pool};
  const auto* pool = std::get_if<PoolSpec>(&spec);
  return pool != nullptr && pool->kind == PoolSpec::Kind::max ? pool->kernel : Size2{1, 1};
}

// Writes the place in the window into six bits of the mantissa, which every type keeps.
void make_distinct_in_windows(std::vector<float>& values, int batch, const Extent& extent, const Size2& window) {
  const int places = window.height * window.width;
  if (places == 1) return;
  CONVOY_CHECK(places <= 64, "windows of up to 64 pixels can be made distinct, not {}", places);
  for (int n = 0; n < batch; ++n) {
    for (int y = 0; y < extent.height; ++y) {
      for (int x = 0; x < extent.width; ++x) {
        const auto place = static_cast<std::uint32_t>((y % window.height) * window.width + x % window.width);
        for (int c = 0; c < extent.channels; ++c) {
          float& value = values[reference::at(extent, n, y, x, c)];
          const auto bits = (std::bit_cast<std::uint32_t>(value) & ~(0x3Fu << 16)) | (place << 16);
          value = std::bit_cast<float>(bits);
        }
      }
    }
  }
}

// Gives neighbouring pooled pixels opposite signs, so that a channel of few values deviates about as much as its mean:
// otherwise two values that happen to be close would measure the mean's last bit and not the arithmetic. Signs and
// powers of two leave mantissas as they are.
void spread_channels(std::vector<float>& values, int batch, const Extent& extent, int pool) {
  for (int n = 0; n < batch; ++n) {
    for (int y = 0; y < extent.height; ++y) {
      for (int x = 0; x < extent.width; ++x) {
        const bool is_even = (n + y / pool + x / pool) % 2 == 0;
        for (int c = 0; c < extent.channels; ++c) {
          float& value = values[reference::at(extent, n, y, x, c)];
          value = is_even ? 2 * std::abs(value) : -std::abs(value);
        }
      }
    }
  }
}

// The same operation without its activation.
OperationSpec linear(OperationSpec spec) {
  std::visit(
      [](auto& one) {
        if constexpr (requires { one.activation; }) one.activation = Activation::none;
      },
      spec);
  return spec;
}

bool has_relu(const OperationSpec& spec) {
  return std::visit(
      [](const auto& one) {
        if constexpr (requires { one.activation; }) return one.activation == Activation::relu;
        return false;
      },
      spec);
}

void clear_gradient_near_corner(const OperationSpec& spec, int batch, Tensors& tensors) {
  constexpr double kMargin = 1e-3;  // of the largest argument; far above fp32 sums, to which 16-bit types add nothing
  const reference::Values arguments =
      reference::forward(linear(spec), batch, Mode::train, arguments_of(tensors)).output;
  double largest = 0;
  for (const double value : arguments) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (std::abs(arguments[i]) < kMargin * largest) tensors.output_gradient[i] = 0;
  }
}

std::vector<double> widened(const std::vector<float>& values) { return {values.begin(), values.end()}; }

}  // namespace

Extent windows_over(const Extent& input, Size2 kernel, Size2 stride, const Padding& padding, int channels) {
  return {(input.height + padding.top + padding.bottom - kernel.height) / stride.height + 1,
          (input.width + padding.left + padding.right - kernel.width) / stride.width + 1, channels};
}

Tensors random_tensors(const OperationSpec& spec, int batch, DType type, std::uint64_t seed) {
  const OperationShape shape = shape_of(spec);
  const bool is_normalisation = shape.statistics != 0;
  Random random(seed);
  Tensors tensors;
  tensors.input = random.tensor(activation_elements(batch, shape.input), -1, 1.5);  // a mean that is not 0
  if (shape.residual) tensors.residual = random.tensor(activation_elements(batch, shape.output), -1, 1);
  tensors.output_gradient = random.tensor(activation_elements(batch, shape.output), -1, 1.25);
  if (is_normalisation) {
    tensors.weights = random.tensor(shape.weights, 0.5, 1.5);
  } else if (shape.weights != 0) {
    const double fan_in = static_cast<double>(shape.weights) / shape.output.channels;
    tensors.weights = random.tensor(shape.weights, -std::sqrt(3 / fan_in), std::sqrt(3 / fan_in));
    round_all(tensors.weights, type);
  }
  tensors.bias = random.tensor(shape.bias, -0.5, 0.5);
  tensors.running_mean = random.tensor(shape.statistics, -0.5, 0.5);
  tensors.running_variance = random.tensor(shape.statistics, 0.5, 1.5);
  round_all(tensors.input, type);
  round_all(tensors.residual, type);
  round_all(tensors.output_gradient, type);
  make_distinct_in_windows(tensors.input, batch, shape.input, max_window(spec));
  if (is_normalisation) spread_channels(tensors.input, batch, shape.input, max_window(spec).height);
  tensors.row.seed = 0x123456789ABCDEFu + seed;
  tensors.row.epoch = 3;
  tensors.row.first = 2;
  tensors.row.count = batch;
  for (int i = 0; i < tensors.row.first + batch; ++i) tensors.order.push_back((i * 7919 + 40013) % 50000);
  if (has_relu(spec)) clear_gradient_near_corner(spec, batch, tensors);
  return tensors;
}

reference::Arguments arguments_of(const Tensors& tensors) {
  return {widened(tensors.input),
          widened(tensors.residual),
          widened(tensors.weights),
          widened(tensors.bias),
          widened(tensors.running_mean),
          widened(tensors.running_variance),
          tensors.row,
          tensors.order};
}

Results run_operation(Backend& backend, const OperationSpec& spec, int batch, Mode mode, const Tensors& tensors,
                      const RunOptions& options) {
  const OperationShape shape = shape_of(spec);
  const Wanted wanted = wanted_by(shape, mode, tensors);
  const std::unique_ptr<Operation> operation = backend.plan(spec, batch, mode);
  const Needs needs = operation->needs();
  const std::size_t output_count = activation_elements(batch, shape.output);
  EXPECT_GE(needs.output,
            shape.float_output ? output_count * sizeof(float) : backend.activation_bytes(batch, shape.output));
  Buffers buffers = allocate(backend, shape, needs, batch, mode, tensors, options);
  Operands operands = operands_of(buffers);
  const GuardedBuffer* output = &buffers.output;
  const GuardedBuffer* input_gradient = &buffers.input_gradient;
  if (options.in_place && needs.forward_in_place && !needs.backward_reads_input) {
    output = &buffers.input;
    operands.output = buffers.input.data();
  }
  if (options.in_place && needs.gradient_in_place && wanted.input) {
    input_gradient = &buffers.output_gradient;
    operands.input_gradient = buffers.output_gradient.data();
  }

  Results results;
  operation->refresh(operands);
  then_spoil_workspace(backend, buffers, [&] { operation->forward(operands); });
  results.output = shape.float_output ? downloaded(backend, *output, output_count)
                                      : unpacked_and_checked(backend, batch, shape.output, *output, "output");
  if (mode == Mode::train) {
    if (!needs.backward_reads_input && output != &buffers.input) buffers.input.poison();
    if (!needs.backward_reads_output && (output != &buffers.input || !needs.backward_reads_input)) {
      output == &buffers.input ? buffers.input.poison() : buffers.output.poison();
    }
    buffers.residual.poison();
    then_spoil_workspace(backend, buffers, [&] { operation->backward_begin(operands); });
    then_spoil_workspace(backend, buffers, [&] { operation->backward_weights(operands); });
    then_spoil_workspace(backend, buffers, [&] { operation->backward_data(operands); });
    if (needs.narrow_gradient) {
      const ElementRange all{0, tensors.weights.size()};
      backend.widen({&all, 1}, buffers.narrow_gradient.data(), buffers.weights_gradient.as<float>());
    }
    if (wanted.input) {
      results.input_gradient = unpacked_and_checked(backend, batch, shape.input, *input_gradient, "input_gradient");
    }
    if (wanted.residual) {
      results.residual_gradient =
          unpacked_and_checked(backend, batch, shape.output, buffers.residual_gradient, "residual_gradient");
    }
    if (wanted.weights)
      results.weights_gradient = downloaded(backend, buffers.weights_gradient, tensors.weights.size());
    if (wanted.bias) results.bias_gradient = downloaded(backend, buffers.bias_gradient, tensors.bias.size());
  }
  results.running_mean = downloaded(backend, buffers.running_mean, tensors.running_mean.size());
  results.running_variance = downloaded(backend, buffers.running_variance, tensors.running_variance.size());
  check_gradient_wishes(buffers, wanted, mode);
  for (const GuardedBuffer* buffer : buffers.all()) buffer->expect_guards_intact();
  EXPECT_EQ(downloaded(backend, buffers.weights, tensors.weights.size()), tensors.weights) << "the weights changed";
  EXPECT_EQ(downloaded(backend, buffers.bias, tensors.bias.size()), tensors.bias) << "the bias changed";
  return results;
}

void expect_close(const std::string& tensor, const std::vector<float>& found, const std::vector<double>& expected,
                  double tolerance, const reference::Values& allowed) {
  ASSERT_EQ(found.size(), expected.size()) << tensor;
  ASSERT_TRUE(allowed.empty() || allowed.size() == expected.size()) << tensor;
  double largest = 0, worst = -1;
  std::size_t where = 0, wrong = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < found.size(); ++i) {
    double difference = std::isfinite(found[i]) ? std::abs(found[i] - expected[i]) : HUGE_VAL;
    if (!allowed.empty()) difference -= allowed[i];
    if (difference > tolerance * largest) ++wrong;
    if (difference > worst) worst = difference, where = i;
  }
  if (wrong != 0) {
    ADD_FAILURE() << fmt::format(
        "{}: {} of {} elements differ by more than {:.1e} of the largest ({:.4g}); worst at {}: {:.9g}, expected "
        "{:.9g} (off by {:.2e} of the largest{})",
        tensor, wrong, found.size(), tolerance, largest, where, found[where], expected[where], worst / largest,
        allowed.empty() ? "" : fmt::format(" beyond the {:.2e} allowed there", allowed[where] / largest));
  }
}

void expect_matches_reference(Backend& backend, const OperationSpec& spec, int batch, Mode mode, const Tensors& tensors,
                              double tolerance, const reference::Gradients& allowed) {
  const OperationShape shape = shape_of(spec);
  const Wanted wanted = wanted_by(shape, mode, tensors);
  const reference::Arguments arguments = arguments_of(tensors);
  const reference::Outputs outputs = reference::forward(spec, batch, mode, arguments);
  reference::Gradients gradients;
  if (mode == Mode::train) gradients = reference::backward(spec, batch, arguments, widened(tensors.output_gradient));

  const bool in_place_too = can_run_in_place(backend.plan(spec, batch, mode)->needs());
  for (const bool in_place : {false, true}) {
    if (in_place && !in_place_too) continue;
    SCOPED_TRACE(in_place ? "with shared memory" : "with memory apart");
    const Results results = run_operation(backend, spec, batch, mode, tensors, {.in_place = in_place});
    expect_close("output", results.output, outputs.output, tolerance);
    expect_close("running_mean", results.running_mean, outputs.running_mean, tolerance);
    expect_close("running_variance", results.running_variance, outputs.running_variance, tolerance);
    if (wanted.input) expect_close("input_gradient", results.input_gradient, gradients.input, tolerance, allowed.input);
    if (wanted.residual)
      expect_close("residual_gradient", results.residual_gradient, gradients.residual, tolerance, allowed.residual);
    if (wanted.weights) expect_close("weights_gradient", results.weights_gradient, gradients.weights, tolerance);
    if (wanted.bias) expect_close("bias_gradient", results.bias_gradient, gradients.bias, tolerance);
    if (mode == Mode::evaluate) {
      EXPECT_EQ(results.running_mean, tensors.running_mean) << "evaluation must not move the running statistics";
      EXPECT_EQ(results.running_variance, tensors.running_variance);
    }
  }
}

void expect_gradients_match_differences(const OperationSpec& spec, int batch, std::uint64_t seed) {
  constexpr double kStep = 1e-6;        // truncation about step^2, rounding about 1e-16 / step
  constexpr double kTolerance = 1e-7;   // of the largest gradient
  constexpr std::size_t kSamples = 60;  // elements tried of each tensor
  const Tensors tensors = random_tensors(spec, batch, DType::f32, seed);
  const std::vector<double> output_gradient = widened(tensors.output_gradient);
  reference::Arguments arguments = arguments_of(tensors);
  const reference::Gradients gradients = reference::backward(spec, batch, arguments, output_gradient);
  const auto loss = [&] {
    const reference::Values output = reference::forward(spec, batch, Mode::train, arguments).output;
    double sum = 0;
    for (std::size_t i = 0; i < output.size(); ++i) sum += output[i] * output_gradient[i];
    return sum;
  };
  const auto check = [&](const char* what, std::vector<double>& values, const std::vector<double>& gradient) {
    ASSERT_EQ(values.size(), gradient.size()) << what;
    double largest = 0;
    for (const double value : gradient) largest = std::max(largest, std::abs(value));
    const std::size_t stride = values.size() / kSamples + 1;
    for (std::size_t i = 0; i < values.size(); i += stride) {
      const double kept = values[i];
      values[i] = kept + kStep;
      const double above = loss();
      values[i] = kept - kStep;
      const double below = loss();
      values[i] = kept;
      EXPECT_NEAR(gradient[i], (above - below) / (2 * kStep), kTolerance * std::max(largest, 1.0))
          << what << " element " << i;
    }
  };
  check("input", arguments.input, gradients.input);
  check("residual", arguments.residual, gradients.residual);
  check("weights", arguments.weights, gradients.weights);
  check("bias", arguments.bias, gradients.bias);
}

void expect_rejected(Backend& backend, const OperationSpec& spec, int batch, const std::vector<std::string>& words) {
  try {
    backend.plan(spec, batch, Mode::train);
    ADD_FAILURE() << "an impossible operation was planned";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    for (const std::string& word : words) {
      EXPECT_NE(message.find(word), std::string::npos) << "'" << word << "' is not in: " << message;
    }
  } catch (const std::exception& other) {
    ADD_FAILURE() << "not an Error with its reason, but: " << other.what();
  }
}

reference::Gradients OnBackend::moved_between_passes(const OperationSpec& spec, int batch, const Tensors& given) const {
  const auto* epilogue = std::get_if<EpilogueSpec>(&spec);
  if (epilogue == nullptr || GetParam().backend != std::string_view("cpu")) return {};
  // The most that a rounding to the compute type moves a value, as a share of it; of fp32 the tolerance has it.
  const double unit = compute_type(GetParam().precision) == DType::bf16 ? 0x1p-8 : 0;
  return reference::moved_by_kept_roundings(*epilogue, batch, arguments_of(given), widened(given.output_gradient),
                                            unit);
}

void OnBackend::SetUp() {
  const std::string reason = reason_to_skip(GetParam());
  if (!reason.empty()) GTEST_SKIP() << reason;
  backend = make_backend_for_test(GetParam().backend, GetParam().precision);
}

}  // namespace convoy::test
