// SGD and Adam on every backend: the same weights and moments as the CPU backend's, to the bit, whose own are held
// against formulas, PyTorch and Keras in update_test.cpp.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "convoy/adam_correction.hpp"
#include "convoy/error.hpp"
#include "convoy/philox.hpp"
#include "support/guarded_buffer.hpp"
#include "support/narrow_weights.hpp"
#include "support/operation_fixture.hpp"

namespace convoy::test {
namespace {

const BackendCase kBackends[] = {
    {"cuda", Precision::fp32, 0, "the same operations, each rounded correctly"},
    {"cuda", Precision::bf16, 0, "weights and moments are fp32 whatever the compute type"},
    {"cuda", Precision::fp16, 0, "the same"},
};

constexpr std::size_t kArena = 40000;
constexpr int kSteps = 5;
constexpr float kRates[3] = {0.1F, 0.02F, 0.3F};

// One block; several with a tail; a single element; and gaps that no group owns.
const std::vector<UpdateRange> kAligned = {{64, 2048, 0, 0.0F}, {6400, 25003, 1, 0.05F}, {32000, 1, 2, 0.5F}};
// The same where no tensor begins at a multiple of 16 bytes, and many that are shorter than that.
std::vector<UpdateRange> unaligned() {
  std::vector<UpdateRange> ranges = {{65, 2048, 0, 0.0F}, {6402, 25003, 1, 0.05F}, {32003, 1, 2, 0.5F}};
  for (std::size_t i = 0; i < 100; ++i) ranges.push_back({33000 + 12 * i, i % 11, static_cast<int>(i % 3), 0.1F});
  return ranges;
}

std::vector<float> random_values(std::uint32_t stream) {
  std::vector<float> values(kArena);
  for (std::size_t i = 0; i < kArena; ++i) {
    values[i] = 2 * uniform(random_bits(stream, Purpose::synthetic, 0, i).x) - 1;
  }
  return values;
}

StepRow row_at(std::int64_t step) {
  StepRow row;
  row.step = step;
  for (int group = 0; group < 3; ++group) row.learning_rates[group] = kRates[group] / static_cast<float>(step + 1);
  return row;
}

struct State {
  std::vector<float> weights, first, second;
};

// Recorded: from the third step on it is replayed, so that all that changes from step to step is read from the
// device's memory.
State run(Backend& backend, const UpdateSpec& spec, bool is_clipped, std::int64_t first_step) {
  const std::unique_ptr<Update> update = backend.plan(spec);
  const GuardedBuffer weights = on_device(backend, random_values(1), "weights");
  const GuardedBuffer gradients = on_device(backend, random_values(2), "gradients");
  const GuardedBuffer first = on_device(backend, std::vector<float>(kArena), "first moment");
  const GuardedBuffer second = on_device(backend, std::vector<float>(kArena), "second moment");
  const GuardedBuffer factor = on_device(backend, std::vector<float>{1}, "factor");
  const GuardedBuffer row(backend, sizeof(StepRow), "row");
  const GuardedBuffer narrow = narrow_weights(backend, weights, "narrow weights");
  const GuardedBuffer workspace(backend, update->workspace_bytes(), "workspace");
  const UpdateOperands operands{.weights = weights.as<float>(),
                                .gradients = gradients.as<float>(),
                                .first_moment = first.as<float>(),
                                .second_moment = second.as<float>(),
                                .gradient_factor = is_clipped ? factor.as<float>() : nullptr,
                                .workspace = workspace.data(),
                                .row = row.as<StepRow>(),
                                .narrow_weights = narrow.data()};
  const auto recording = backend.record(StepKind::full, [&] { update->enqueue(operands); });
  for (int step = 0; step < kSteps; ++step) {
    const std::vector<float> gradient = random_values(100 + static_cast<std::uint32_t>(step));
    const StepRow current = row_at(first_step + step);
    const float clipped = 0.75F / static_cast<float>(step + 1);
    backend.upload(gradients.data(), gradient.data(), gradients.bytes());
    backend.upload(row.data(), &current, sizeof current);
    backend.upload(factor.data(), &clipped, sizeof clipped);
    recording->replay();
    backend.wait();
  }
  for (const GuardedBuffer* buffer : {&weights, &first, &second, &workspace}) buffer->expect_guards_intact();
  const State state{from_device<float>(backend, weights), from_device<float>(backend, first),
                    from_device<float>(backend, second)};
  expect_narrow_weights(backend, narrow, state.weights);
  return state;
}

class Updates : public OnBackend {
 protected:
  void expect_bits_of_the_cpu(const UpdateSpec& spec, std::int64_t first_step = 0) {
    const std::unique_ptr<Backend> cpu = make_backend_for_test("cpu", Precision::fp32);
    for (const bool is_clipped : {false, true}) {
      const State expected = run(*cpu, spec, is_clipped, first_step);
      const State found = run(*backend, spec, is_clipped, first_step);
      EXPECT_NE(found.weights, random_values(1));
      EXPECT_EQ(found.weights, expected.weights);
      EXPECT_EQ(found.first, expected.first);
      EXPECT_EQ(found.second, expected.second);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, Updates, testing::ValuesIn(kBackends), case_name);

TEST_P(Updates, sgd_gives_the_cpus_bits) {
  for (const auto& ranges : {kAligned, unaligned()}) {
    for (const auto& [momentum, nesterov, decoupled] : {std::tuple{0.0F, false, false},
                                                        {0.0F, false, true},
                                                        {0.9F, false, false},
                                                        {0.9F, true, false},
                                                        {0.85F, true, true}}) {
      SCOPED_TRACE(fmt::format("{} ranges, momentum {}, {}, {}", ranges.size(), momentum, nesterov, decoupled));
      expect_bits_of_the_cpu(
          SgdSpec{.ranges = ranges, .momentum = momentum, .nesterov = nesterov, .decoupled = decoupled});
    }
  }
}

TEST_P(Updates, adam_gives_the_cpus_bits) {
  for (const auto& ranges : {kAligned, unaligned()}) {
    for (const auto& [decoupled, keras_epsilon, epsilon] :
         {std::tuple{false, false, 1e-8F}, {true, false, 1e-8F}, {false, true, 1e-7F}, {true, false, 0.05F}}) {
      SCOPED_TRACE(fmt::format("{} ranges, {}, {}, epsilon {}", ranges.size(), decoupled, keras_epsilon, epsilon));
      expect_bits_of_the_cpu(
          AdamSpec{.ranges = ranges, .epsilon = epsilon, .decoupled = decoupled, .keras_epsilon = keras_epsilon});
    }
  }
}

TEST_P(Updates, adam_gives_the_cpus_bits_late_in_a_run) {
  for (const std::int64_t step : {997, 123456, 10'000'000}) {
    SCOPED_TRACE(step);
    expect_bits_of_the_cpu(AdamSpec{.ranges = kAligned}, step);
    expect_bits_of_the_cpu(AdamSpec{.ranges = kAligned, .keras_epsilon = true}, step);
  }
}

TEST_P(Updates, an_update_of_nothing_changes_nothing) {
  EXPECT_EQ(run(*backend, SgdSpec{}, false, 0).weights, random_values(1));
  EXPECT_EQ(run(*backend, AdamSpec{}, false, 0).weights, random_values(1));
}

TEST_P(Updates, a_group_without_a_rate_is_refused_when_planned) {
  EXPECT_THROW(backend->plan(UpdateSpec(SgdSpec{{{0, 8, kMaxGroups, 0.0F}}})), Error);
  EXPECT_THROW(backend->plan(UpdateSpec(AdamSpec{{{0, 8, -1, 0.0F}}})), Error);
}

TEST(AdamCorrections, powers_by_squaring_are_within_their_bound) {
  for (const double base : {0.5, 0.9, 0.999, 0.9999}) {
    for (std::int64_t exponent : {0, 1, 2, 3, 10, 100, 999, 1000, 12345, 1000000}) {
      const long double exact = std::pow(static_cast<long double>(base), static_cast<long double>(exponent));
      EXPECT_NEAR(power(base, exponent), static_cast<double>(exact), 0x1p-54 / (1 - base)) << base << "^" << exponent;
    }
  }
  EXPECT_EQ(power(0.999, 1), 0.999);
}

}  // namespace
}  // namespace convoy::test
