// One step or one operation at a time, after some that warm up.
#include "train/step_benchmark.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <variant>

#include "convoy/error.hpp"
#include "data/load.hpp"
#include "nn/initialise.hpp"
#include "train/device_set.hpp"
#include "train/devices.hpp"
#include "train/median.hpp"
#include "train/plan.hpp"
#include "train/step.hpp"

namespace convoy {
namespace {

constexpr int kWarmUp = 2;
constexpr int kClasses = 10, kChannels = 3;
constexpr int kFewestSynthetic = 10;  // images that the generator makes

// Enough calls in a row that enqueuing one and waiting for it is little beside them.
constexpr double kLongEnough = 2e-3;  // seconds
constexpr int kMostInRow = 50;

double seconds_of(Backend& backend, int calls, const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) call();
  backend.wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls;
}

// Seconds of a call, `count` times, each the mean of some calls where one is short.
std::vector<double> time_calls(Backend& backend, int count, const std::function<void()>& call) {
  double last = 0;
  for (int i = 0; i < kWarmUp; ++i) last = seconds_of(backend, 1, call);
  const int in_row = static_cast<int>(std::clamp(kLongEnough / std::max(last, 1e-9), 1.0, double{kMostInRow}));
  std::vector<double> seconds;
  for (int i = 0; i < count; ++i) seconds.push_back(seconds_of(backend, in_row, call));
  return seconds;
}

// Everything that a step needs, on synthetic images. Not movable: the parts hold references to each other.
class Bench {
 public:
  Bench(RunConfig config, int steps)
      : config_(prepared(std::move(config))),
        device_(choose_device(config_)),
        model_(make_model(config_.model, kClasses, kChannels)),
        data_(load_dataset({.path = fmt::format("synthetic:{}", std::max(config_.batch, kFewestSynthetic))})),
        plan_(config_, model_.layout, static_cast<std::int64_t>(data_.train.count()), 0, 1),
        weights_(backend(), model_.layout, "weights", moments_needed(model_.layout, config_)),
        set_(backend(), data_.train),
        step_(backend(), model_, config_, weights_, set_,
              pixel_scale({0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}, model_.shapes.input.channels)) {
    check_image(model_.network, data_.train.image);
    weights_.set(initial_weights(model_.layout, config_.seed));
    step_.prepare({plan_.variant(0)});
    StepRow row = plan_.rows(0).front();
    std::fill(std::begin(row.learning_rates), std::end(row.learning_rates), 0.0F);  // no step may end in NaN
    step_.set_rows(std::vector<StepRow>(static_cast<std::size_t>(steps * kMostInRow + kWarmUp), row));
  }

  Backend& backend() { return *device_.backend; }

  StepTimes time_steps(int steps) {
    StepTimes times;
    times.seconds = time_calls(backend(), steps, [&] { step_.run(plan_.variant(0)); });
    times.images_per_second = config_.batch / median(times.seconds);
    times.device_line = device_.line;
    times.device = backend().info().kind;
    times.precision = name(backend().info().precision);
    times.network = model_.network.name;
    times.batch = config_.batch;
    times.threads = backend().info().threads;
    times.peak_device_bytes = backend().peak_allocated_bytes();
    return times;
  }

  const Program& program() const { return step_.program(plan_.variant(0)); }

 private:
  static RunConfig prepared(RunConfig config) {
    config.epochs = 1;
    config.steps = 0;
    return config;
  }

  RunConfig config_;
  ChosenDevice device_;
  Model model_;
  Dataset data_;
  StepPlan plan_;
  Weights weights_;
  DeviceSet set_;
  TrainStep step_;
};

// One dense layer large enough to run at the machine's pace, small enough for a laptop.
double measured_flops(Backend& backend, int repetitions) {
  constexpr int kRows = 2048, kSize = 2048;
  const DenseSpec spec{.input = {1, 1, kSize}, .outputs = kSize};
  const std::unique_ptr<Operation> dense = backend.plan(spec, kRows, Mode::evaluate);
  const Needs needs = dense->needs();
  const Arena input = backend.allocate(backend.activation_bytes(kRows, spec.input), "bench input");
  const Arena output = backend.allocate(needs.output, "bench output");
  const Arena workspace = backend.allocate(needs.workspace, "bench workspace");
  const Arena copies = backend.allocate(needs.weight_copies, "bench weight copies");
  const Arena weights = backend.allocate(std::size_t{kSize} * kSize * sizeof(float), "bench weights");
  const Arena narrow = backend.allocate(backend.narrow_bytes(std::size_t{kSize} * kSize), "bench narrow weights");
  Operands operands;
  operands.input = input.data();
  operands.output = output.data();
  operands.workspace = workspace.data();
  operands.weight_copies = copies.data();
  operands.weights = weights.floats();
  operands.narrow_weights = narrow.data();
  dense->refresh(operands);
  return dense->work().forward_flops / median(time_calls(backend, repetitions, [&] { dense->forward(operands); }));
}

double measured_bandwidth(Backend& backend, int repetitions) {
  constexpr std::size_t kBytes = std::size_t{128} << 20;  // beyond any cache
  const Arena from = backend.allocate(kBytes, "bench source");
  const Arena to = backend.allocate(kBytes, "bench target");
  return 2.0 * kBytes / median(time_calls(backend, repetitions, [&] { backend.copy(to.data(), from.data(), kBytes); }));
}

}  // namespace

StepTimes measure_step(RunConfig config, int steps) { return Bench(std::move(config), steps).time_steps(steps); }

LayerTimes measure_layers(RunConfig config, int steps) {
  Bench bench(std::move(config), steps);
  Backend& backend = bench.backend();
  LayerTimes times;
  times.step = bench.time_steps(steps);  // also leaves activations behind that the operations can work on
  times.flops_per_second = measured_flops(backend, steps);
  times.bytes_per_second = measured_bandwidth(backend, steps);
  const Program& program = bench.program();
  const std::vector<LoweredOperation>& operations = program.network().operations;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const Program::Node& node = program.nodes()[i];
    Operation& operation = *node.operation;
    const Work work = operation.work();
    LayerTimes::Row row;
    row.name = operations[i].name;
    row.implementation = operation.implementation();
    row.is_convolution = std::holds_alternative<ConvSpec>(operations[i].spec);
    row.forward_floor =
        std::max(work.forward_flops / times.flops_per_second, work.forward_bytes / times.bytes_per_second);
    row.forward_seconds = median(time_calls(backend, steps, [&] { operation.forward(node.forward); }));
    if (operations[i].backward) {
      row.backward_floor =
          std::max(work.backward_flops / times.flops_per_second, work.backward_bytes / times.bytes_per_second);
      row.backward_seconds = median(time_calls(backend, steps, [&] {
        operation.backward_begin(node.backward);
        operation.backward_weights(node.backward);
        operation.backward_data(node.backward);
      }));
    }
    times.rows.push_back(std::move(row));
  }
  return times;
}

}  // namespace convoy
