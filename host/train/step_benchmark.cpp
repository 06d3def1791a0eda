// One step or one operation at a time, after some that warm up.
#include "train/step_benchmark.hpp"

#include <algorithm>
#include <memory>
#include <variant>

#include "train/benched_step.hpp"
#include "train/device_times.hpp"
#include "train/devices.hpp"
#include "train/median.hpp"

namespace convoy {
namespace {

// The step on the device that its configuration asks for.
struct Bench {
  Bench(RunConfig config, int steps) : device(choose_device(config)), step(backend(), config, most_calls(steps)) {}

  Backend& backend() { return *device.backend; }

  ChosenDevice device;
  BenchedStep step;
};

StepTimes time_steps(Bench& bench, int batch, int steps) {
  StepTimes times;
  const DeviceInfo info = bench.backend().info();
  times.seconds = time_calls(bench.backend(), steps, [&] { bench.step.run(); });
  times.images_per_second = batch / median(times.seconds);
  times.device_line = bench.device.line;
  times.device = info.kind;
  times.precision = name(info.precision);
  times.network = bench.step.model().network.name;
  times.batch = batch;
  times.threads = info.threads;
  times.peak_device_bytes = bench.backend().peak_allocated_bytes();
  return times;
}

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

StepTimes measure_step(const RunConfig& config, int steps) {
  Bench bench(config, steps);
  return time_steps(bench, config.batch, steps);
}

LayerTimes measure_layers(const RunConfig& config, int steps) {
  Bench bench(config, steps);
  Backend& backend = bench.backend();
  LayerTimes times;
  times.step =
      time_steps(bench, config.batch, steps);  // also leaves activations behind that the operations can work on
  times.flops_per_second = measured_flops(backend, steps);
  times.bytes_per_second = measured_bandwidth(backend, steps);
  const Program& program = bench.step.program();
  const std::vector<LoweredOperation>& operations = program.network().operations;
  const auto floor = [&](double flops, double bytes) {
    return std::max(flops / times.flops_per_second, bytes / times.bytes_per_second);
  };
  times.rows.resize(operations.size());
  std::vector<Call> calls;  // in the order of a step
  std::vector<double*> seconds;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const Program::Node& node = program.nodes()[i];
    LayerTimes::Row& row = times.rows[i];
    const Work work = node.operation->work();
    row.name = operations[i].name;
    row.implementation = node.operation->implementation();
    row.is_convolution = std::holds_alternative<ConvSpec>(operations[i].spec);
    row.forward_floor = floor(work.forward_flops, work.forward_bytes);
    if (operations[i].backward) row.backward_floor = floor(work.backward_flops, work.backward_bytes);
    calls.emplace_back([&node] { node.operation->forward(node.forward); });
    seconds.push_back(&row.forward_seconds);
  }
  for (std::size_t i = operations.size(); i-- > 0;) {
    if (!operations[i].backward) continue;
    calls.emplace_back([&node = program.nodes()[i]] {
      node.operation->backward_begin(node.backward);
      node.operation->backward_weights(node.backward);
      node.operation->backward_data(node.backward);
    });
    seconds.push_back(&times.rows[i].backward_seconds);
  }
  const std::vector<double> measured = time_recorded(backend, steps, calls);
  for (std::size_t i = 0; i < measured.size(); ++i) *seconds[i] = measured[i];
  return times;
}

}  // namespace convoy
