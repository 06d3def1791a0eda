// The optimizers: against double-precision formulas over uneven ranges, against PyTorch and Keras, and the same bits
// on every instruction set and number of threads.
// needs: oneDNN
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <thread>
#include <vector>

#include "convoy/error.hpp"
#include "convoy/philox.hpp"
#include "cpu/operations.hpp"
#include "support/backends.hpp"
#include "support/cpu_contexts.hpp"
#include "support/guarded_buffer.hpp"
#include "support/narrow_weights.hpp"

namespace convoy {
namespace {

using test::cpu_context;
using test::cpu_contexts;

constexpr std::size_t kArena = 40000;

// A range of one block, one of several with a tail, one of a single element; gaps that no group owns.
const std::vector<UpdateRange> kRanges = {{64, 5000, 0, 0.0F}, {6400, 25003, 1, 0.05F}, {32000, 1, 2, 0.5F}};
constexpr float kRates[3] = {0.1F, 0.02F, 0.3F};

std::vector<float> random_values(std::uint32_t stream, float spread) {
  std::vector<float> values(kArena);
  for (std::size_t i = 0; i < kArena; ++i) {
    values[i] = spread * (2 * uniform(random_bits(stream, Purpose::synthetic, 0, i).x) - 1);
  }
  return values;
}

// Everything an update touches, in the float that it computes in or the double of its reference.
template <typename T>
struct State {
  std::vector<T> weights, first, second;
};

// The gradient of step t, and its factor where clipping is on.
std::vector<float> gradient_at(int t) { return random_values(100 + static_cast<std::uint32_t>(t), 1); }
constexpr float kFactor = 0.75F;
constexpr int kSteps = 4;

StepRow row_at(int step) {
  StepRow row;
  row.step = step;
  for (int group = 0; group < 3; ++group) row.learning_rates[group] = kRates[group] / static_cast<float>(step + 1);
  return row;
}

State<float> run(Update& update, int steps, float factor) {
  State<float> state{random_values(1, 1), std::vector<float>(kArena), std::vector<float>(kArena)};
  std::vector<std::byte> workspace(update.workspace_bytes());
  for (int step = 0; step < steps; ++step) {
    const std::vector<float> gradients = gradient_at(step);
    const StepRow row = row_at(step);
    UpdateOperands operands;
    operands.weights = state.weights.data();
    operands.gradients = gradients.data();
    operands.first_moment = state.first.data();
    operands.second_moment = state.second.data();
    operands.gradient_factor = factor == 1 ? nullptr : &factor;
    operands.workspace = workspace.data();
    operands.row = &row;
    update.enqueue(operands);
  }
  return state;
}

// One element's update in double: (weight, first, second, gradient, rate, decay, t).
using Formula = std::function<void(double&, double&, double&, double, double, double, int)>;

State<double> run_reference(const Formula& formula, float factor) {
  const std::vector<float> start = random_values(1, 1);
  State<double> state{{start.begin(), start.end()}, std::vector<double>(kArena), std::vector<double>(kArena)};
  for (int step = 0; step < kSteps; ++step) {
    const std::vector<float> gradients = gradient_at(step);
    const StepRow row = row_at(step);
    for (const UpdateRange& range : kRanges) {
      for (std::size_t i = range.offset; i < range.offset + range.count; ++i) {
        formula(state.weights[i], state.first[i], state.second[i], static_cast<double>(factor) * gradients[i],
                row.learning_rates[range.group], range.weight_decay, step + 1);
      }
    }
  }
  return state;
}

void expect_near(const std::vector<float>& values, const std::vector<double>& expected, double tolerance) {
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    worst = std::max(worst, std::isfinite(values[i]) ? std::abs(values[i] - expected[i]) : HUGE_VAL);
  }
  EXPECT_LE(worst, tolerance);
}

struct SgdCase {
  float momentum;
  bool nesterov, decoupled;
};

class Sgd : public ::testing::TestWithParam<SgdCase> {};

TEST_P(Sgd, matches_the_double_precision_formula_and_leaves_the_gaps_alone) {
  const SgdCase& c = GetParam();
  const SgdSpec spec{kRanges, c.momentum, c.nesterov, c.decoupled};
  const Formula formula = [&](double& w, double& v, double&, double g, double rate, double decay, int) {
    const double d = c.decoupled ? g : g + decay * w;
    if (c.decoupled) w -= rate * decay * w;
    v = c.momentum * v + d;
    w -= rate * (c.nesterov ? d + c.momentum * v : v);
  };
  for (float factor : {1.0F, kFactor}) {
    const State<double> expected = run_reference(formula, factor);
    const auto update = cpu::plan_sgd(spec, cpu_context(cpu::select_kernels(), 2));
    const State<float> state = run(*update, kSteps, factor);
    expect_near(state.weights, expected.weights, 1e-6);  // 4 steps of a few roundings at magnitude 1 to 2
    if (c.momentum != 0) expect_near(state.first, expected.first, 2e-6);
  }
}

TEST_P(Sgd, gives_the_same_bits_on_every_isa_and_thread_count) {
  const SgdSpec spec{kRanges, GetParam().momentum, GetParam().nesterov, GetParam().decoupled};
  const auto first = run(*cpu::plan_sgd(spec, cpu_context(cpu::runnable_kernels().front(), 1)), kSteps, kFactor);
  for (const auto& [name, context] : cpu_contexts()) {
    const State<float> state = run(*cpu::plan_sgd(spec, context), kSteps, kFactor);
    EXPECT_EQ(state.weights, first.weights) << name;
    EXPECT_EQ(state.first, first.first) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(, Sgd,
                         ::testing::Values(SgdCase{0, false, false}, SgdCase{0, false, true},
                                           SgdCase{0.9F, false, false}, SgdCase{0.9F, true, false},
                                           SgdCase{0.85F, true, true}));

struct AdamCase {
  bool decoupled, keras_epsilon;
  float epsilon;
};

class Adam : public ::testing::TestWithParam<AdamCase> {
 protected:
  AdamSpec spec() const {
    AdamSpec spec;
    spec.ranges = kRanges;
    spec.epsilon = GetParam().epsilon;
    spec.decoupled = GetParam().decoupled;
    spec.keras_epsilon = GetParam().keras_epsilon;
    return spec;
  }
};

TEST_P(Adam, matches_the_double_precision_formula_and_leaves_the_gaps_alone) {
  const AdamSpec s = spec();
  const Formula formula = [&](double& w, double& m, double& v, double g, double rate, double decay, int t) {
    const double b1 = s.beta1, b2 = s.beta2;
    if (s.decoupled) {
      w -= rate * decay * w;
    } else {
      g += decay * w;
    }
    m = b1 * m + (1 - b1) * g;
    v = b2 * v + (1 - b2) * g * g;
    const double first = 1 - std::pow(b1, t), second = 1 - std::pow(b2, t);
    if (s.keras_epsilon) {
      w -= rate * std::sqrt(second) / first * m / (std::sqrt(v) + s.epsilon);
    } else {
      w -= rate / first * m / (std::sqrt(v / second) + s.epsilon);
    }
  };
  for (float factor : {1.0F, kFactor}) {
    const State<double> expected = run_reference(formula, factor);
    const auto update = cpu::plan_adam(s, cpu_context(cpu::select_kernels(), 2));
    const State<float> state = run(*update, kSteps, factor);
    // Updates up to the rate, 0.3, each good to a few 2^-24; more where m is the small rest of a cancellation.
    expect_near(state.weights, expected.weights, 2e-6);
    expect_near(state.first, expected.first, 2e-7);
    expect_near(state.second, expected.second, 2e-9);
  }
}

TEST_P(Adam, gives_the_same_bits_on_every_isa_and_thread_count) {
  const auto first = run(*cpu::plan_adam(spec(), cpu_context(cpu::runnable_kernels().front(), 1)), kSteps, kFactor);
  for (const auto& [name, context] : cpu_contexts()) {
    const State<float> state = run(*cpu::plan_adam(spec(), context), kSteps, kFactor);
    EXPECT_EQ(state.weights, first.weights) << name;
    EXPECT_EQ(state.second, first.second) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(, Adam,
                         ::testing::Values(AdamCase{false, false, 1e-8F}, AdamCase{true, false, 1e-8F},
                                           AdamCase{false, true, 1e-7F}, AdamCase{false, true, 0.05F},
                                           AdamCase{true, false, 0.05F}));

struct MuonCase {
  int rows, columns, iterations;
  float momentum;
  bool nesterov, normalise_weights;
};

using Matrix = std::vector<double>;  // row-major

Matrix product(const Matrix& a, const Matrix& b, int m, int k, int n) {
  Matrix c(static_cast<std::size_t>(m) * n);
  for (int i = 0; i < m; ++i) {
    for (int l = 0; l < k; ++l) {
      for (int j = 0; j < n; ++j) c[i * n + j] += a[i * k + l] * b[l * n + j];
    }
  }
  return c;
}

Matrix transposed(const Matrix& a, int rows, int columns) {
  Matrix t(a.size());
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) t[j * rows + i] = a[i * columns + j];
  }
  return t;
}

double norm_of(const Matrix& a) {
  double sum = 0;
  for (double value : a) sum += value * value;
  return std::sqrt(sum);
}

// What a product's result is rounded to when it is stored.
using Rounding = double (*)(double);
double exact(double value) { return value; }

Matrix rounded(Matrix a, Rounding rounding) {
  for (double& value : a) value = rounding(value);
  return a;
}

// As the reference is written: the wide side is made the columns, A = X X^T, X = a X + (b A + c A A) X.
Matrix newton_schulz(Matrix x, int rows, int columns, int iterations, Rounding rounding) {
  if (rows > columns) {
    return transposed(newton_schulz(transposed(x, rows, columns), columns, rows, iterations, rounding), columns, rows);
  }
  const double norm = norm_of(x);
  for (double& value : x) value /= norm + 1e-7;
  x = rounded(x, rounding);
  for (int i = 0; i < iterations; ++i) {
    const Matrix a = rounded(product(x, transposed(x, rows, columns), rows, columns, rows), rounding);
    Matrix b = product(a, a, rows, rows, rows);
    for (std::size_t k = 0; k < b.size(); ++k) b[k] = -4.7750 * a[k] + 2.0315 * b[k];
    const Matrix bx = product(rounded(b, rounding), x, rows, rows, columns);
    for (std::size_t k = 0; k < x.size(); ++k) x[k] = 3.4445 * x[k] + bx[k];
    x = rounded(x, rounding);
  }
  return x;
}

// All of kSteps steps in double, but for what `rounding` does inside the Newton-Schulz iteration.
State<double> run_muon_reference(const MuonSpec& spec, float factor, Rounding rounding = exact) {
  const std::vector<float> start = random_values(1, 1);
  State<double> state{{start.begin(), start.end()}, std::vector<double>(kArena), {}};
  for (int step = 0; step < kSteps; ++step) {
    const std::vector<float> gradients = gradient_at(step);
    for (const MuonSpec::Matrix& matrix : spec.matrices) {
      const std::size_t size = static_cast<std::size_t>(matrix.rows) * matrix.columns;
      const auto first = state.weights.begin() + static_cast<std::ptrdiff_t>(matrix.offset);
      Matrix x(size), w(first, first + static_cast<std::ptrdiff_t>(size));
      for (std::size_t i = 0; i < size; ++i) {
        const double g = static_cast<double>(factor) * gradients[matrix.offset + i];
        double& b = state.first[matrix.offset + i];
        b = spec.momentum * b + g;
        x[i] = spec.nesterov ? g + spec.momentum * b : b;
      }
      x = newton_schulz(x, matrix.rows, matrix.columns, spec.iterations, rounding);
      const double rate = row_at(step).learning_rates[matrix.group];
      const double scale = spec.normalise_weights ? std::sqrt(matrix.rows) / norm_of(w) : 1;
      for (std::size_t i = 0; i < size; ++i) {
        state.weights[matrix.offset + i] = w[i] * scale * (1 - rate * matrix.weight_decay) - rate * x[i];
      }
    }
  }
  return state;
}

class Muon : public ::testing::TestWithParam<MuonCase> {};

TEST_P(Muon, matches_the_double_precision_reference) {
  const MuonCase& c = GetParam();
  constexpr std::size_t kFirst = 64;
  const std::size_t count = static_cast<std::size_t>(c.rows) * c.columns;
  constexpr float kDecay = 0.05F;
  MuonSpec spec;
  // A second matrix of another shape after the first: they share the workspace.
  spec.matrices = {{kFirst, c.rows, c.columns, 0, kDecay}, {30000, 7, 5, 1, 0.0F}};
  spec.momentum = c.momentum;
  spec.nesterov = c.nesterov;
  spec.iterations = c.iterations;
  spec.normalise_weights = c.normalise_weights;
  ASSERT_LE(kFirst + count, 30000u);
  const State<float> state = run(*cpu::plan_muon(spec, cpu_context(cpu::select_kernels(), 2)), kSteps, kFactor);
  const State<double> expected = run_muon_reference(spec, kFactor);
  // Each Newton-Schulz step multiplies the error of small singular values by up to 3.4, and so its fp32 rounding.
  expect_near(state.weights, expected.weights, 4e-6);
  if (c.momentum != 0) expect_near(state.first, expected.first, 1e-6);
}

TEST_P(Muon, nothing_is_written_past_the_workspace_or_the_matrix) {
  const MuonCase& c = GetParam();
  MuonSpec spec;
  spec.matrices = {{0, c.rows, c.columns, 0, 0}};
  spec.iterations = c.iterations;
  const auto update = cpu::plan_muon(spec, cpu_context(cpu::select_kernels(), 2));
  const std::vector<float> before = random_values(1, 1), gradients = gradient_at(0);
  std::vector<float> weights = before, buffer(kArena);
  constexpr std::size_t kGuard = 1024;
  std::vector<std::byte> workspace(update->workspace_bytes() + kGuard, std::byte{0x5a});
  const StepRow row = row_at(0);
  UpdateOperands operands{weights.data(), gradients.data(), buffer.data(), nullptr, nullptr, workspace.data(), &row};
  update->enqueue(operands);
  for (std::size_t i = 0; i < kGuard; ++i) ASSERT_EQ(workspace[update->workspace_bytes() + i], std::byte{0x5a}) << i;
  for (std::size_t i = static_cast<std::size_t>(c.rows) * c.columns; i < kArena; ++i) {
    ASSERT_EQ(weights[i], before[i]) << i;
  }
}

const MuonCase kMuonCases[] = {
    {16, 27, 3, 0.6F, true, true},   {27, 16, 3, 0.6F, true, true},  {64, 216, 5, 0.95F, true, false},
    {90, 33, 5, 0.95F, false, true}, {1, 40, 3, 0, false, true},     {40, 1, 3, 0.6F, true, true},
    {20, 24, 4, 0.9F, true, false},  {24, 90, 7, 0.9F, true, false}, {90, 24, 2, 0.9F, true, false},
};
INSTANTIATE_TEST_SUITE_P(, Muon, ::testing::ValuesIn(kMuonCases));

TEST(MuonEdges, a_gradient_of_zeros_only_normalises_the_weights) {
  MuonSpec spec;
  spec.matrices = {{0, 4, 4, 0, 0}};
  std::vector<float> weights(16, 2.0F), gradients(16), buffer(16);
  const auto update = cpu::plan_muon(spec, cpu_context(cpu::select_kernels(), 1));
  std::vector<std::byte> workspace(update->workspace_bytes());
  const StepRow row = row_at(0);
  update->enqueue({weights.data(), gradients.data(), buffer.data(), nullptr, nullptr, workspace.data(), &row});
  for (float w : weights) EXPECT_FLOAT_EQ(w, 0.5F);  // norm sqrt(16 * 0.25) = 2 = sqrt(4 rows)
}

// Numbers of PyTorch 2 and Keras 3 after 4 steps (Muon: 3) on a CPU, from
//   W = [((3*i) % 7 - 3) / 4 for i in range(6)];  gradient of step t: [((7*i + 5*t) % 11 - 5) / 8 for i in range(6)]
// with torch.optim.SGD/Adam/AdamW(lr=0.1, ...), keras.optimizers.Adam(0.1, epsilon=1e-2), and for Muon
// rate 0.24, momentum 0.6 Nesterov, 3 steps as in the airbench94_muon reference in fp32:
//   buf.mul_(0.6).add_(g); g = g.add(buf, alpha=0.6); p.mul_(len(p)**0.5 / p.norm()); p.add_(ns(g, 3), alpha=-0.24)
constexpr double kFewRoundings = 6e-7;  // of weights near 1
// Keras takes 1 - 0.999^t in fp32, wrong by up to 3e-5 of itself; with its powers, double arithmetic gives its numbers
// to 5e-8, with exact powers it is 1.3e-6 away from them.
constexpr double kKerasPowers = 1.3e-6;

struct Golden {
  std::string name;
  UpdateSpec spec;
  int steps;
  float rate;
  std::vector<float> expected;
  double tolerance = kFewRoundings;
};

std::vector<Golden> goldens() {
  const auto ranges = [](float decay) { return std::vector<UpdateRange>{{0, 6, 0, decay}}; };
  const auto muon = [](int rows) {
    return MuonSpec{.matrices = {{0, rows, 6 / rows, 0, 0.0F}}, .momentum = 0.6F, .nesterov = true, .iterations = 3};
  };
  return {
      {"sgd",
       SgdSpec{ranges(0)},
       4,
       0.1F,
       {-0.737500012F, 0.075000003F, 0.75F, -0.325000018F, 0.487500012F, -0.449999988F}},
      {"sgd_momentum",
       SgdSpec{ranges(0.05F), 0.9F},
       4,
       0.1F,
       {-0.61013788F, 0.088513948F, 0.746323824F, -0.487011701F, 0.540814042F, -0.335300863F}},
      {"sgd_nesterov",
       SgdSpec{ranges(0.05F), 0.85F, true},
       4,
       0.1F,
       {-0.618651748F, 0.150211051F, 0.730431616F, -0.50440526F, 0.507454336F, -0.310284019F}},
      {"adam",
       AdamSpec{ranges(0.05F)},
       4,
       0.1F,
       {-0.573428035F, 0.00221467391F, 0.812897921F, -0.500939608F, 0.478422135F, -0.282157689F}},
      {"adamw",
       AdamSpec{.ranges = ranges(0.05F), .decoupled = true},
       4,
       0.1F,
       {-0.577630043F, 0.00176162273F, 0.832023025F, -0.502344966F, 0.483157694F, -0.288959861F}},
      {"keras_adam",
       AdamSpec{.ranges = ranges(0), .epsilon = 1e-2F, .keras_epsilon = true},
       4,
       0.1F,
       {-0.644563556F, 0.0247551482F, 0.794514537F, -0.42896229F, 0.532479525F, -0.376881123F},
       kKerasPowers},
      {"muon_wide",
       muon(2),
       3,
       0.24F,
       {-0.773402691F, -0.160451174F, 0.84072566F, -0.554268122F, 0.798955441F, -0.270608723F}},
      {"muon_tall",
       muon(3),
       3,
       0.24F,
       {-0.935658336F, 0.208308965F, 1.01202977F, -0.731389761F, 0.971054852F, -0.470452577F}},
  };
}

std::unique_ptr<Update> plan(const UpdateSpec& spec, const cpu::Context& context) {
  if (const auto* sgd = std::get_if<SgdSpec>(&spec)) return cpu::plan_sgd(*sgd, context);
  if (const auto* adam = std::get_if<AdamSpec>(&spec)) return cpu::plan_adam(*adam, context);
  return cpu::plan_muon(std::get<MuonSpec>(spec), context);
}

class GoldenUpdates : public ::testing::TestWithParam<Golden> {};

TEST_P(GoldenUpdates, equal_pytorch_and_keras) {
  const cpu::Context context = cpu_context(cpu::select_kernels(), 1);
  const auto update = plan(GetParam().spec, context);
  std::vector<std::byte> workspace(update->workspace_bytes());
  std::vector<float> weights(6), gradients(6), first(6), second(6);
  for (int i = 0; i < 6; ++i) weights[i] = static_cast<float>((3 * i) % 7 - 3) / 4;
  StepRow row;
  row.learning_rates[0] = GetParam().rate;
  for (; row.step < GetParam().steps; ++row.step) {
    for (int i = 0; i < 6; ++i)
      gradients[i] = static_cast<float>((7 * i + 5 * static_cast<int>(row.step)) % 11 - 5) / 8;
    update->enqueue({weights.data(), gradients.data(), first.data(), second.data(), nullptr, workspace.data(), &row});
  }
  for (int i = 0; i < 6; ++i) EXPECT_NEAR(weights[i], GetParam().expected[i], GetParam().tolerance) << i;
}

INSTANTIATE_TEST_SUITE_P(, GoldenUpdates, ::testing::ValuesIn(goldens()),
                         [](const auto& test) { return test.param.name; });

TEST(Updates, a_group_without_a_rate_is_refused_when_planned) {
  const cpu::Context context = cpu_context(cpu::select_kernels(), 1);
  EXPECT_THROW(cpu::plan_sgd(SgdSpec{{{0, 8, kMaxGroups, 0.0F}}}, context), Error);
  EXPECT_THROW(cpu::plan_muon(MuonSpec{.matrices = {{0, 2, 4, -1, 0.0F}}}, context), Error);
}

// Rounded to nearest, 0.9 times the four least numbers there are is these again: without flushing they stay for ever,
// and every product with one takes Intel's processors over a hundred cycles. In a thread of its own, whose mode nothing
// else has set.
TEST(CpuMoments, without_gradients_come_to_zero_in_every_thread) {
  std::thread([] {
    constexpr std::size_t kCount = 1 << 18;  // enough to be shared out
    const auto backend = test::make_backend_for_test("cpu", Precision::fp32);
    SgdSpec spec{.ranges = {{0, kCount, 0, 0.0F}}, .momentum = 0.9F};
    const auto update = backend->plan(spec);
    std::vector<float> weights(kCount, 1.0F), velocity(kCount, 1e-36F);
    const std::vector<float> gradients(kCount);
    const StepRow row = row_at(0);
    const UpdateOperands operands{
        .weights = weights.data(), .gradients = gradients.data(), .first_moment = velocity.data(), .row = &row};
    for (int step = 0; step < 300; ++step) update->enqueue(operands);
    EXPECT_EQ(std::count_if(velocity.begin(), velocity.end(), [](float v) { return v != 0; }), 0);
  }).join();
}

// Muon on devices. Tolerances are absolute, for weights near 1 after kSteps steps.
constexpr const char* kFlips =
    "bf16 where the reference has it; an fp32 sum near the middle may round to the other neighbour: 2^-7 of elements "
    "up "
    "to 1.2, at rates that add up to 0.6, and as much from the products before";
const test::BackendCase kMuonBackends[] = {
    {"cuda", Precision::fp32, 4e-6, "as on the CPU: fp32 rounding, up to 3.4 times larger after each iteration"},
    {"cuda", Precision::tf32, 5e-3,
     "factors rounded or cut to 11 bits, each by up to 2^-10, in the three products of an iteration, whose elements "
     "are "
     "up to 1.2; rates that add up to 0.6"},
    {"cuda", Precision::bf16, 1.2e-2, kFlips},
    {"cuda", Precision::fp16, 1.2e-2, kFlips},
};

double to_bf16(double value) {
  if (value == 0) return 0;
  const double step = std::ldexp(1.0, std::ilogb(value) - 7);
  return std::nearbyint(value / step) * step;
}

// Through the Backend, recorded: from the third step on it is replayed, so that all that changes from step to step is
// read from the device's memory. The workspace is spoilt between steps.
State<float> run_recorded(Backend& backend, const UpdateSpec& spec, int steps, float factor) {
  State<float> state{random_values(1, 1), std::vector<float>(kArena), {}};
  const std::unique_ptr<Update> update = backend.plan(spec);
  constexpr std::size_t kBytes = kArena * sizeof(float);
  const test::GuardedBuffer weights(backend, kBytes, "weights"), gradients(backend, kBytes, "gradients");
  const test::GuardedBuffer momentum(backend, kBytes, "momentum"), clip(backend, sizeof factor, "factor");
  const test::GuardedBuffer row(backend, sizeof(StepRow), "row");
  test::GuardedBuffer workspace(backend, update->workspace_bytes(), "workspace");
  backend.upload(weights.data(), state.weights.data(), kBytes);
  const test::GuardedBuffer narrow = narrow_weights(backend, weights, "narrow weights");
  backend.upload(momentum.data(), state.first.data(), kBytes);
  backend.upload(clip.data(), &factor, sizeof factor);
  const UpdateOperands operands{.weights = weights.as<float>(),
                                .gradients = gradients.as<float>(),
                                .first_moment = momentum.as<float>(),
                                .gradient_factor = factor == 1 ? nullptr : clip.as<float>(),
                                .workspace = workspace.data(),
                                .row = row.as<StepRow>(),
                                .narrow_weights = narrow.data()};
  const auto recording = backend.record(StepKind::full, [&] { update->enqueue(operands); });
  for (int step = 0; step < steps; ++step) {
    const std::vector<float> gradient = gradient_at(step);
    const StepRow current = row_at(step);
    backend.upload(gradients.data(), gradient.data(), kBytes);
    backend.upload(row.data(), &current, sizeof current);
    recording->replay();
    backend.wait();
    workspace.poison();
  }
  backend.download(state.weights.data(), weights.data(), kBytes);
  backend.download(state.first.data(), momentum.data(), kBytes);
  for (const auto* buffer : {&weights, &gradients, &momentum, &clip, &row}) buffer->expect_guards_intact();
  workspace.expect_guards_intact();
  expect_narrow_weights(backend, narrow, state.weights);
  return state;
}

class MuonOnDevice : public ::testing::TestWithParam<test::BackendCase> {
 protected:
  void SetUp() override {
    const std::string reason = test::reason_to_skip(GetParam());
    if (!reason.empty()) GTEST_SKIP() << reason;
    backend = test::make_backend_for_test(GetParam().backend, GetParam().precision);
  }
  std::unique_ptr<Backend> backend;
};

TEST_P(MuonOnDevice, matches_the_double_precision_reference) {
  // Copies in bf16 are rounded in the reference too: the tolerance covers arithmetic alone.
  const Rounding rounding = backend->compute_type() == DType::f32 ? exact : to_bf16;
  for (const MuonCase& c : kMuonCases) {
    SCOPED_TRACE(::testing::Message() << c.rows << " x " << c.columns << ", " << c.iterations << " iterations");
    const std::size_t count = static_cast<std::size_t>(c.rows) * c.columns;
    ASSERT_LE(64 + 2 * count, 30000u);
    MuonSpec spec;
    // Two of one shape, the second wherever the first ends; and one of another.
    spec.matrices = {
        {64, c.rows, c.columns, 0, 0.05F}, {64 + count, c.rows, c.columns, 2, 0.0F}, {30000, 7, 5, 1, 0.0F}};
    spec.momentum = c.momentum;
    spec.nesterov = c.nesterov;
    spec.iterations = c.iterations;
    spec.normalise_weights = c.normalise_weights;
    for (const float factor : {1.0F, kFactor}) {
      const State<float> state = run_recorded(*backend, spec, kSteps, factor);
      const State<double> expected = run_muon_reference(spec, factor, rounding);
      expect_near(state.weights, expected.weights, GetParam().tolerance);
      if (c.momentum != 0) expect_near(state.first, expected.first, 1e-6);
    }
  }
}

TEST_P(MuonOnDevice, repeats_bit_for_bit) {
  MuonSpec spec;
  spec.matrices = {{0, 64, 216, 0, 0.05F}, {14000, 90, 33, 1, 0.0F}};
  const State<float> first = run_recorded(*backend, spec, kSteps, 1), second = run_recorded(*backend, spec, kSteps, 1);
  EXPECT_EQ(first.weights, second.weights);
  EXPECT_EQ(first.first, second.first);
}

TEST_P(MuonOnDevice, gives_the_same_bits_where_its_start_is_one_launch_and_two) {
  const auto in_two = test::make_backend_beside_collectives(GetParam().backend, GetParam().precision);
  MuonSpec spec;
  spec.matrices = {{0, 64, 216, 0, 0.05F}, {14000, 90, 33, 1, 0.0F}};
  const State<float> one = run_recorded(*backend, spec, kSteps, kFactor),
                     two = run_recorded(*in_two, spec, kSteps, kFactor);
  EXPECT_EQ(one.weights, two.weights);
  EXPECT_EQ(one.first, two.first);
}

TEST_P(MuonOnDevice, takes_more_matrices_than_one_launch) {
  const Rounding rounding = backend->compute_type() == DType::f32 ? exact : to_bf16;
  MuonSpec spec;
  for (int i = 0; i < 130; ++i) {
    const int rows = 1 + i % 11, columns = 1 + i % 13;
    spec.matrices.push_back({static_cast<std::size_t>(150 * i), rows, columns, i % 3, 0.01F * static_cast<float>(i)});
  }
  spec.iterations = 3;
  const State<float> state = run_recorded(*backend, spec, kSteps, kFactor);
  const State<double> expected = run_muon_reference(spec, kFactor, rounding);
  expect_near(state.weights, expected.weights, GetParam().tolerance);
  expect_near(state.first, expected.first, 1e-6);
}

TEST_P(MuonOnDevice, a_gradient_of_zeros_only_normalises_the_weights) {
  MuonSpec spec;
  spec.matrices = {{0, 4, 4, 0, 0}};
  const auto update = backend->plan(UpdateSpec(spec));
  std::vector<float> weights(16, 2.0F);
  const Arena memory = backend->allocate(3 * kAlignment, "weights, gradients, momentum");
  const Arena row = backend->allocate(sizeof(StepRow), "row");
  const Arena workspace = backend->allocate(update->workspace_bytes(), "workspace");
  const Arena narrow = backend->allocate(backend->narrow_bytes(16), "narrow weights");
  backend->upload(memory.data(), weights.data(), weights.size() * sizeof(float));
  constexpr std::size_t kStride = kAlignment / sizeof(float);
  update->enqueue({.weights = memory.floats(),
                   .gradients = memory.floats() + kStride,
                   .first_moment = memory.floats() + 2 * kStride,
                   .workspace = workspace.data(),
                   .row = static_cast<const StepRow*>(row.data()),
                   .narrow_weights = narrow.data()});
  backend->download(weights.data(), memory.data(), weights.size() * sizeof(float));
  for (const float w : weights) EXPECT_FLOAT_EQ(w, 0.5F);  // norm sqrt(16 * 0.25) = 2 = sqrt(4 rows)
}

TEST_P(MuonOnDevice, refuses_a_group_without_a_rate_when_planned) {
  EXPECT_THROW(backend->plan(UpdateSpec(MuonSpec{.matrices = {{0, 2, 4, -1, 0.0F}}})), Error);
  EXPECT_THROW(backend->plan(UpdateSpec(MuonSpec{.matrices = {{0, 0, 4, 0, 0.0F}}})), Error);
}

INSTANTIATE_TEST_SUITE_P(Backends, MuonOnDevice, ::testing::ValuesIn(kMuonBackends),
                         [](const auto& test) { return test::name(test.param); });

}  // namespace
}  // namespace convoy
