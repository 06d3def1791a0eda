// convoy selftest: what it compares, and that it notices.
// needs: oneDNN
#include "train/selftest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "nn/lower.hpp"
#include "support/backends.hpp"
#include "train/operation_trial.hpp"
#include "train/step.hpp"

namespace convoy::test {
namespace {

using testing::Contains;
using testing::HasSubstr;

TEST(RelativeError, is_of_the_whole_tensor) {
  EXPECT_EQ(relative_error({3, 4}, {3, 4}), 0);
  EXPECT_DOUBLE_EQ(relative_error({3, 5}, {3, 4}), 0.2);
  EXPECT_EQ(relative_error({0, 0}, {0, 0}), 0);
  EXPECT_TRUE(std::isinf(relative_error({1, 0}, {0, 0})));
  EXPECT_TRUE(std::isinf(relative_error({1, std::numeric_limits<float>::quiet_NaN()}, {1, 1})));
  EXPECT_TRUE(std::isinf(relative_error({1}, {1, 1})));
}

class Selftest : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override {
    const std::string reason = reason_to_skip(GetParam());
    if (!reason.empty()) GTEST_SKIP() << reason;
    backend_ = make_backend_for_test(GetParam().backend, GetParam().precision);
  }
  std::unique_ptr<Backend> backend_, reference_ = make_backend_for_test("cpu", Precision::fp32);
};

const BackendCase kCases[] = {
    {"cpu", Precision::fp32, 0, "tolerances are the selftest's own"},
    {"cpu", Precision::bf16, 0, "the same"},
    {"cuda", Precision::fp32, 0, "the same"},
    {"cuda", Precision::tf32, 0, "the same"},
    {"cuda", Precision::bf16, 0, "the same"},
    {"cuda", Precision::fp16, 0, "the same"},
};
INSTANTIATE_TEST_SUITE_P(Backends, Selftest, testing::ValuesIn(kCases),
                         [](const auto& one) { return name(one.param); });

TEST_P(Selftest, passes_on_every_operation_and_a_step_of_the_seed_network) {
  std::vector<std::string> compared;
  const bool is_good = selftest(*backend_, *reference_,
                                [&](const SelftestRow& row) {
                                  compared.push_back(row.what);
                                  EXPECT_TRUE(row.is_good())
                                      << row.what << ": " << row.quantity << " " << row.error << " > " << row.tolerance;
                                },
                                {"seed"});
  EXPECT_TRUE(is_good);
  for (const char* part : {"convolution", "max-pool", "dense", "dropout", "a whole step"}) {
    EXPECT_THAT(compared, Contains(HasSubstr(part)));
  }
}

// What a selftest would see of a fault: another bias in one channel of many.
TEST_P(Selftest, a_trial_moves_by_more_than_the_tolerance_where_one_channel_is_wrong) {
  const Model model = make_model("seed", 10, 3);
  const OperationSpec spec = lower(model.network, model.shapes, model.layout).operations.front().spec;
  TrialTensors given = trial_tensors(*backend_, spec, 4, 1);
  const TrialResults right = run_trial(*reference_, spec, 4, given);
  given.bias.back() += 1;
  const TrialResults wrong = run_trial(*backend_, spec, 4, given);
  EXPECT_GT(relative_error(wrong.at("output"), right.at("output")), 0.05);
}

}  // namespace
}  // namespace convoy::test
