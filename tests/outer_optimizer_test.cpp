// The outer optimizers against their papers' formulas in double precision, written as the papers do.
// needs: oneDNN
#include "train/outer_optimizer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <vector>

#include "cpu/backend.hpp"

namespace convoy {
namespace {

constexpr std::size_t kCount = 100;
constexpr double kTolerance = 2e-6;  // fp32, some ten roundings of numbers below 4

class OuterOptimizers : public testing::Test {
 protected:
  OuterOptimizers() : backend_(make_cpu_backend({.precision = Precision::fp32, .threads = 1})) {}

  // Where the inner steps have led by round `round`, starting anywhere.
  static float average_of(int round, std::size_t i) {
    return static_cast<float>(std::sin(0.7 * static_cast<double>(i) + 1.3 * round));
  }

  // Feeds the averages of four rounds and calls expected(round, i, average) for what x must become.
  template <typename Expected>
  void expect_follows(const AveragingSettings& settings, const std::vector<double>& rates, const Expected& expected) {
    Arena average = backend_->allocate(kCount * sizeof(float), "average");
    for (std::size_t i = 0; i < kCount; ++i) average.floats()[i] = start(i);
    OuterOptimizer outer(*backend_, settings, average.floats(), kCount);
    for (int round = 0; round < 4; ++round) {
      for (std::size_t i = 0; i < kCount; ++i) average.floats()[i] = average_of(round, i);
      outer.step(average.floats(), rates[static_cast<std::size_t>(round)]);
      for (std::size_t i = 0; i < kCount; ++i) {
        ASSERT_NEAR(average.floats()[i], expected(round, i, static_cast<double>(average_of(round, i))), kTolerance)
            << "round " << round << ", element " << i;
      }
    }
  }
  static float start(std::size_t i) { return static_cast<float>(std::cos(0.3 * static_cast<double>(i))); }

  std::unique_ptr<Backend> backend_;
};

TEST_F(OuterOptimizers, average_takes_the_average_as_it_is) {
  expect_follows({}, {0.1, 0.1, 0.1, 0.1}, [](int, std::size_t, double average) { return average; });
}

// Wang et al. 2020, algorithm 1: u <- beta u + (x - average) / gamma; x <- x - alpha gamma u.
TEST_F(OuterOptimizers, slowmo_is_its_papers_algorithm_also_while_the_rate_falls) {
  const std::vector<double> rates = {0.1, 0.1, 0.04, 0.02};
  std::vector<double> x(kCount), u(kCount);
  for (std::size_t i = 0; i < kCount; ++i) x[i] = static_cast<double>(start(i));
  AveragingSettings settings;
  settings.outer = OuterKind::slowmo;
  settings.outer_learning_rate = 0.9;
  settings.outer_momentum = 0.6;
  expect_follows(settings, rates, [&](int round, std::size_t i, double average) {
    const double gamma = rates[static_cast<std::size_t>(round)];
    u[i] = 0.6 * u[i] + (x[i] - average) / gamma;
    return x[i] -= 0.9 * gamma * u[i];
  });
}

TEST_F(OuterOptimizers, slowmo_without_momentum_and_with_rate_one_is_the_average) {
  AveragingSettings settings;
  settings.outer = OuterKind::slowmo;
  settings.outer_learning_rate = 1;
  settings.outer_momentum = 0;
  expect_follows(settings, {0.1, 0.1, 0.1, 0.1}, [](int, std::size_t, double average) { return average; });
}

TEST_F(OuterOptimizers, a_rate_of_zero_leaves_finite_weights) {
  AveragingSettings settings;
  settings.outer = OuterKind::slowmo;
  // Without a rate no momentum is left to add: the average again.
  expect_follows(settings, {0.1, 0, 0, 0}, [](int, std::size_t, double average) { return average; });
}

// Douillard et al. 2023: PyTorch's SGD with Nesterov's momentum on the outer gradient; 0.7 and 0.9 where nothing is
// said.
TEST_F(OuterOptimizers, nesterov_is_sgd_with_nesterovs_momentum_on_the_outer_gradient) {
  std::vector<double> x(kCount), momentum(kCount);
  for (std::size_t i = 0; i < kCount; ++i) x[i] = static_cast<double>(start(i));
  AveragingSettings settings;
  settings.outer = OuterKind::nesterov;
  expect_follows(settings, {0.1, 0.1, 0.1, 0.1}, [&](int, std::size_t i, double average) {
    const double gradient = x[i] - average;
    momentum[i] = 0.9 * momentum[i] + gradient;
    return x[i] -= 0.7 * (gradient + 0.9 * momentum[i]);
  });
}

}  // namespace
}  // namespace convoy
