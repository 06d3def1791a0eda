// The program of a lowered network: whatever an operation may read still lies there when it reads it, gradients of
// several readers are summed, and the calls come in their order. The backend here computes nothing: its operations
// write numbers of their own wherever they may write, and check every number that they may read.
#include "nn/program.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "convoy/error.hpp"
#include "support/data_files.hpp"
#include "support/stub_backend.hpp"

namespace convoy::test {
namespace {

using testing::HasSubstr;

constexpr int kBatch = 3;
constexpr float kRubbish = -1;
constexpr float kLogitsGradient = 7;

float value_of(int tensor) { return 10 + static_cast<float>(tensor); }
float saved_by(int operation) { return 1000 + static_cast<float>(operation); }
float input_part_of(int operation) { return 2000 + static_cast<float>(operation); }
float residual_part_of(int operation) { return 4000 + static_cast<float>(operation); }

std::size_t bytes_of(const Extent& extent) {
  return static_cast<std::size_t>(kBatch) * static_cast<std::size_t>(extent.elements()) * sizeof(float);
}

void fill(void* memory, std::size_t bytes, float value) {
  std::fill_n(static_cast<float*>(memory), bytes / sizeof(float), value);
}

// What a witness knows of the program that it is part of.
struct Plot {
  LoweredNetwork network;
  std::vector<Needs> needs;          // by operation
  std::vector<std::string> calls;    // of the backward pass
  std::vector<std::byte> memory;     // the arena and some bytes around it
  std::byte* activations = nullptr;  // in it
  std::size_t activation_bytes = 0;

  float gradient_of(int tensor) const {
    float sum = tensor == network.logits ? kLogitsGradient : 0;
    for (const int reader : network.tensors[tensor].readers) {
      const LoweredOperation& operation = network.operations[reader];
      sum += operation.input == tensor ? input_part_of(reader) : residual_part_of(reader);
    }
    return sum;
  }
  void expect(const void* memory_read, std::size_t bytes, float value, const std::string& what) const {
    const auto* first = static_cast<const std::byte*>(memory_read);
    const bool is_inside = first >= activations && first + bytes <= activations + activation_bytes;
    ASSERT_TRUE(is_inside) << what << " lies outside the arena";
    ASSERT_EQ((first - activations) % static_cast<std::ptrdiff_t>(kAlignment), 0) << what;
    const auto* values = static_cast<const float*>(memory_read);
    for (std::size_t i = 0; i < bytes / sizeof(float); ++i) ASSERT_EQ(values[i], value) << what << ", element " << i;
  }
};

class Witness final : public Operation {
 public:
  Witness(Plot& plot, int index) : plot_(plot), index_(index) {}
  Needs needs() const override { return own_needs(); }
  Work work() const override { return {}; }
  std::string implementation() const override { return "witness"; }

  void forward(const Operands& operands) override {
    expect_tensor(operands.input, own().input, "forward: input");
    if (own().residual >= 0) expect_tensor(operands.residual, own().residual, "forward: residual");
    spoil_workspace(operands);
    if (own_needs().saved > 0) fill(operands.saved, own_needs().saved, saved_by(index_));
    fill(operands.output, own_needs().output, value_of(own().output));
    if (!own_needs().forward_in_place) expect_tensor(operands.input, own().input, "forward, having written: input");
    if (own().residual >= 0) expect_tensor(operands.residual, own().residual, "forward, having written: residual");
  }
  void backward_begin(const Operands& operands) override {
    plot_.calls.push_back("begin " + own().name);
    expect_gradient(operands);
    expect_readable(operands, "backward_begin");
    spoil_workspace(operands);
  }
  void backward_weights(const Operands& operands) override {
    plot_.calls.push_back("weights " + own().name);
    expect_gradient(operands);
    expect_readable(operands, "backward_weights");
    spoil_workspace(operands);
  }
  void backward_data(const Operands& operands) override {
    plot_.calls.push_back("data " + own().name);
    expect_gradient(operands);
    expect_readable(operands, "backward_data");
    spoil_workspace(operands);
    EXPECT_EQ(operands.input_gradient != nullptr, tensor(own().input).gradient) << own().name;
    const bool adds = own().residual >= 0 && tensor(own().residual).gradient;
    EXPECT_EQ(operands.residual_gradient != nullptr, adds) << own().name;
    const std::size_t input_bytes = bytes_of(tensor(own().input).extent);
    if (operands.residual_gradient != nullptr) {
      const std::size_t bytes = bytes_of(tensor(own().residual).extent);
      fill(operands.residual_gradient, bytes, residual_part_of(index_));
      expect_gradient(operands);  // still to be read for the other
    }
    if (operands.input_gradient != nullptr) {
      fill(operands.input_gradient, input_bytes, input_part_of(index_));
      if (!own_needs().gradient_in_place) expect_gradient(operands);
    }
    expect_readable(operands, "backward_data, having written");
    if (operands.residual_gradient != nullptr) {
      plot_.expect(operands.residual_gradient, bytes_of(tensor(own().residual).extent), residual_part_of(index_),
                   own().name + ": residual gradient beside the input's");
    }
    if (operands.output_gradient != operands.input_gradient) {  // may be overwritten
      fill(operands.output_gradient, bytes_of(tensor(own().output).extent), kRubbish);
    }
    if (operands.input_gradient != nullptr) {
      plot_.expect(operands.input_gradient, input_bytes, input_part_of(index_), own().name + ": input gradient");
    }
  }

 private:
  const LoweredOperation& own() const { return plot_.network.operations[index_]; }
  const Needs& own_needs() const { return plot_.needs[index_]; }
  const LoweredTensor& tensor(int index) const { return plot_.network.tensors[index]; }

  void expect_tensor(const void* memory, int index, const std::string& what) const {
    plot_.expect(memory, bytes_of(tensor(index).extent), value_of(index), own().name + ", " + what);
  }
  void expect_gradient(const Operands& operands) const {
    plot_.expect(operands.output_gradient, bytes_of(tensor(own().output).extent), plot_.gradient_of(own().output),
                 own().name + ": output gradient");
  }
  void expect_readable(const Operands& operands, const std::string& when) const {
    if (own_needs().backward_reads_input) expect_tensor(operands.input, own().input, when + ": input");
    if (own_needs().backward_reads_output) expect_tensor(operands.output, own().output, when + ": output");
    if (own_needs().saved > 0) {
      plot_.expect(operands.saved, own_needs().saved, saved_by(index_), own().name + ", " + when + ": saved");
    }
  }
  void spoil_workspace(const Operands& operands) const {
    if (own_needs().workspace > 0) fill(operands.workspace, own_needs().workspace, kRubbish);
  }

  Plot& plot_;
  int index_;
};

class WitnessBackend final : public StubBackend {
 public:
  explicit WitnessBackend(Plot& plot) : plot_(plot) {}
  std::unique_ptr<Operation> plan(const OperationSpec&, int, Mode) override {
    return std::make_unique<Witness>(plot_, next_++);
  }
  std::size_t activation_bytes(int, const Extent& extent) const override { return bytes_of(extent); }
  void add_gradient(int, const Extent& extent, void* a, const void* b) override {
    for (std::int64_t i = 0; i < kBatch * extent.elements(); ++i) {
      static_cast<float*>(a)[i] += static_cast<const float*>(b)[i];
    }
  }

 private:
  Plot& plot_;
  int next_ = 0;
};

// Tells the network which tensors have readers, and what goes back, as lower.hpp says. `trains`: by operation.
void mark(LoweredNetwork& network, const std::vector<bool>& trains) {
  for (std::size_t i = 0; i < network.operations.size(); ++i) {
    LoweredOperation& operation = network.operations[i];
    operation.name = fmt::format("operation{}", i);
    bool goes_back = trains[i];
    for (const int source : {operation.input, operation.residual}) {
      if (source < 0) continue;
      network.tensors[source].readers.push_back(static_cast<int>(i));
      goes_back = goes_back || network.tensors[source].gradient;
    }
    operation.backward = goes_back;
    network.tensors[operation.output].producer = static_cast<int>(i);
    network.tensors[operation.output].gradient = goes_back;
  }
  network.logits = static_cast<int>(network.tensors.size()) - 1;
}

// Chains with branches that part and meet again, in few sizes, so that memory is often reused.
Plot random_plot(std::mt19937& random) {
  const auto below = [&](std::size_t limit) { return static_cast<int>(random() % limit); };
  const Extent extents[] = {{1, 1, 5}, {2, 2, 40}, {4, 4, 40}};
  Plot plot;
  LoweredNetwork& network = plot.network;
  std::vector<int> unread = {0};
  network.tensors.push_back({.extent = extents[below(3)], .producer = -1, .readers = {}, .gradient = false});
  const auto take = [&](bool may_fork) {  // an unread tensor, or for a fork any
    if (may_fork && below(4) == 0) {
      const int any = below(network.tensors.size());
      std::erase(unread, any);
      return any;
    }
    const int which = below(unread.size());
    const int taken = unread[which];
    unread.erase(unread.begin() + which);
    return taken;
  };
  const int wanted = 1 + below(14);
  std::vector<bool> trains;
  while (static_cast<int>(network.operations.size()) < wanted || unread.size() > 1) {
    const bool is_ending = static_cast<int>(network.operations.size()) >= wanted;
    LoweredOperation operation;
    operation.input = take(!is_ending);
    if (!unread.empty() && (is_ending || below(2) == 0)) operation.residual = take(false);
    operation.output = static_cast<int>(network.tensors.size());
    network.tensors.push_back({.extent = extents[below(3)], .producer = -1, .readers = {}, .gradient = false});
    unread.push_back(operation.output);
    network.operations.push_back(operation);
    trains.push_back(below(3) > 0);
    plot.needs.push_back({.output = bytes_of(network.tensors.back().extent),
                          .saved = sizeof(float) * below(2) * below(200),
                          .workspace = sizeof(float) * below(2) * below(2000),
                          .backward_reads_input = below(2) == 0,
                          .backward_reads_output = below(2) == 0,
                          .forward_in_place = below(2) == 0,
                          .gradient_in_place = below(2) == 0});
  }
  trains.back() = true;
  mark(network, trains);
  return plot;
}

void bind(Plot& plot, Program& program) {
  constexpr std::size_t kMargin = 4096;
  plot.activation_bytes = program.activation_bytes();
  plot.memory.assign(plot.activation_bytes + 2 * kMargin, std::byte{0});
  const auto address = reinterpret_cast<std::uintptr_t>(plot.memory.data()) + kMargin;
  plot.activations = plot.memory.data() + (address / kAlignment * kAlignment - (address - kMargin));
  fill(plot.activations, plot.activation_bytes, kRubbish);
  program.bind({.activations = plot.activations});
}

void run_forward(const Plot& plot, Program& program) {
  const LoweredNetwork& network = plot.network;
  fill(program.input(), bytes_of(network.tensors[network.input].extent), value_of(network.input));
  program.forward();
  plot.expect(program.logits(), bytes_of(network.tensors[network.logits].extent), value_of(network.logits), "logits");
}

void run_step(const Plot& plot, Program& program, const Program::GradientReady& ready = {}) {
  run_forward(plot, program);
  const Extent& extent = plot.network.tensors[plot.network.logits].extent;
  fill(program.logits_gradient(), bytes_of(extent), kLogitsGradient);
  plot.expect(program.logits(), bytes_of(extent), value_of(plot.network.logits), "logits beside their gradient");
  program.backward(ready);
}

TEST(Programs, what_an_operation_reads_still_lies_there_in_five_hundred_random_networks) {
  std::mt19937 random(2);
  for (int number = 0; number < 500; ++number) {
    SCOPED_TRACE(number);
    Plot plot = random_plot(random);
    WitnessBackend backend(plot);
    Program program(backend, plot.network, {}, kBatch, Mode::train);
    bind(plot, program);
    for (int step = 0; step < 2; ++step) run_step(plot, program);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(Programs, evaluation_keeps_nothing_for_a_backward_pass) {
  std::mt19937 random(3);
  std::size_t training_bytes = 0, evaluation_bytes = 0;
  for (int number = 0; number < 200; ++number) {
    SCOPED_TRACE(number);
    Plot plot = random_plot(random);
    WitnessBackend trains(plot), evaluates(plot);
    training_bytes += Program(trains, plot.network, {}, kBatch, Mode::train).activation_bytes();
    Program program(evaluates, plot.network, {}, kBatch, Mode::evaluate);
    evaluation_bytes += program.activation_bytes();
    bind(plot, program);
    run_forward(plot, program);
    EXPECT_EQ(program.logits_gradient(), nullptr);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_LT(evaluation_bytes, training_bytes * 3 / 4);
}

// input -> 0 -> 1 -> 2 -> logits, where 0 trains nothing, and 2 adds what 0 gave.
Plot short_plot() {
  Plot plot;
  for (int i = 0; i < 4; ++i) {
    plot.network.tensors.push_back({.extent = {1, 1, 64}, .producer = -1, .readers = {}, .gradient = false});
  }
  for (int i = 0; i < 3; ++i) {
    LoweredOperation operation;
    operation.input = i;
    operation.residual = i == 2 ? 1 : -1;
    operation.output = i + 1;
    plot.network.operations.push_back(operation);
    plot.needs.push_back({.output = bytes_of({1, 1, 64})});
  }
  mark(plot.network, {false, true, true});
  return plot;
}

TEST(Programs, gradients_are_told_when_they_are_complete_from_the_last_operation_to_the_first_that_trains) {
  Plot plot = short_plot();
  WitnessBackend backend(plot);
  Program program(backend, plot.network, {}, kBatch, Mode::train);
  bind(plot, program);
  run_step(plot, program, [&](int operation) { plot.calls.push_back(fmt::format("ready operation{}", operation)); });
  EXPECT_THAT(plot.calls,
              testing::ElementsAre("begin operation2", "weights operation2", "ready operation2", "data operation2",
                                   "begin operation1", "weights operation1", "ready operation1", "data operation1"));
}

TEST(Programs, an_operation_in_place_takes_over_memory_that_nobody_else_wants) {
  const auto bytes = [](bool in_place, bool reads_input) {
    Plot plot = short_plot();
    plot.network.operations[2].residual = -1;
    plot.network.tensors[1].readers = {1};
    for (Needs& needs : plot.needs) {
      needs.forward_in_place = needs.gradient_in_place = in_place;
      needs.backward_reads_input = reads_input;
    }
    WitnessBackend backend(plot);
    Program program(backend, plot.network, {}, kBatch, Mode::train);
    bind(plot, program);
    run_step(plot, program);
    return program.activation_bytes() / bytes_of({1, 1, 64});
  };
  EXPECT_EQ(bytes(true, false), 2U);   // one value and one gradient, all through
  EXPECT_EQ(bytes(false, false), 2U);  // two of either at a time, never both
  EXPECT_EQ(bytes(true, true), 4U);    // inputs of two operations are kept; the logits; their gradient
}

// Operands of a small convolution and a frozen one.
TEST(Programs, parameters_gradients_and_copies_are_bound_where_the_layout_says) {
  const Network network = parse_network(R"({"name": "two", "input": [8, 8, 3], "layers": [
    {"name": "fixed", "type": "convolution", "filters": 4, "kernel": 3, "frozen": "weights"},
    {"name": "conv", "type": "convolution", "filters": 4, "kernel": 3, "bias": false},
    {"name": "head", "type": "dense", "outputs": "classes"}]})",
                                        "test");
  const Shapes shapes = infer_shapes(network, 10, 3);
  const ParamLayout layout = make_layout(network, shapes);
  Plot plot;
  plot.network = lower(network, shapes, layout);
  for (const LoweredOperation& operation : plot.network.operations) {
    plot.needs.push_back({.output = bytes_of(plot.network.tensors[operation.output].extent), .weight_copies = 100});
  }
  WitnessBackend backend(plot);
  Program program(backend, plot.network, layout, kBatch, Mode::train);
  std::vector<std::byte> activations(program.activation_bytes()), copies(program.weight_copy_bytes());
  std::vector<float> weights(layout.total_elements), gradients(layout.trainable_elements);
  const StepRow row;
  const std::int32_t order = 0;
  ProgramMemory memory{.activations = activations.data(),
                       .weight_copies = copies.data(),
                       .weights = weights.data(),
                       .gradients = gradients.data(),
                       .row = &row,
                       .order = &order};
  program.bind(memory);
  const auto parameter = [&](const char* name) { return layout.parameters[layout.find(name)].offset; };
  ASSERT_EQ(program.nodes().size(), 3U);
  const Operands &fixed = program.nodes()[0].backward, &conv = program.nodes()[1].backward;
  EXPECT_EQ(fixed.weights, weights.data() + parameter("fixed.weight"));
  EXPECT_EQ(fixed.bias, weights.data() + parameter("fixed.bias"));
  EXPECT_EQ(fixed.weights_gradient, nullptr);
  EXPECT_EQ(fixed.bias_gradient, gradients.data() + parameter("fixed.bias"));
  EXPECT_EQ(conv.weights_gradient, gradients.data() + parameter("conv.weight"));
  EXPECT_EQ(conv.bias, nullptr);
  EXPECT_EQ(conv.row, &row);
  EXPECT_EQ(conv.order, &order);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(program.nodes()[i].forward.weight_copies, copies.data() + i * align_up(100));
  }
  EXPECT_EQ(copies.size(), 3 * align_up(100));

  memory.gradients = nullptr;
  program.bind(memory);
  EXPECT_EQ(program.nodes()[1].backward.weights_gradient, nullptr) << "evaluation has none";
}

TEST(Programs, an_operation_that_the_backend_refuses_is_named) {
  class Refusing final : public StubBackend {
   public:
    std::unique_ptr<Operation> plan(const OperationSpec&, int, Mode) override {
      throw Error("too many channels", ExitCode::usage);
    }
  } backend;
  const LoweredNetwork network = short_plot().network;
  EXPECT_EQ(message_of([&] { Program(backend, network, {}, kBatch, Mode::train); }),
            "operation 'operation0': too many channels");
}

TEST(Programs, an_operation_that_fails_is_named) {
  class Failing final : public Operation {
   public:
    Needs needs() const override { return {}; }
    Work work() const override { return {}; }
    std::string implementation() const override { return "failing"; }
    void refresh(const Operands&) override { throw Error("an illegal instruction"); }
    void forward(const Operands&) override { throw Error("an illegal address"); }
    void backward_begin(const Operands&) override { throw Error("a misaligned one"); }
  };
  class Faulty final : public StubBackend {
   public:
    std::unique_ptr<Operation> plan(const OperationSpec&, int, Mode) override { return std::make_unique<Failing>(); }
    std::size_t activation_bytes(int, const Extent& extent) const override { return bytes_of(extent); }
  } backend;
  Plot plot = short_plot();
  Program program(backend, plot.network, {}, kBatch, Mode::train);
  EXPECT_EQ(message_of([&] { program.refresh_weight_copies(); }), "operation 'operation0': an illegal instruction");
  EXPECT_EQ(message_of([&] { program.forward(); }), "operation 'operation0': an illegal address");
  const auto last = plot.network.operations.size() - 1;
  EXPECT_EQ(message_of([&] { program.backward(); }), fmt::format("operation 'operation{}': a misaligned one", last));
}

}  // namespace
}  // namespace convoy::test
