// When each policy of --average exchanges something, and what it refuses.
#include "train/averaging_policy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "convoy/error.hpp"

namespace convoy {
namespace {

constexpr std::int64_t kStepsPerEpoch = 5, kSteps = 13;  // the last epoch is cut short

// Steps from 1 after which weights were averaged, as the averager asks: since_average starts anew after each.
std::vector<std::int64_t> averages(const std::string& text, double learning_rate = 0.1) {
  const AveragingPolicy policy = AveragingPolicy::parse(text);
  std::vector<std::int64_t> steps;
  std::int64_t since = 0;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    ++since;
    const Exchange exchange = policy.at({.step = step,
                                         .steps_per_epoch = kStepsPerEpoch,
                                         .last_step = kSteps,
                                         .since_average = since,
                                         .learning_rate = learning_rate});
    EXPECT_NE(exchange, Exchange::gradients) << text;
    if (exchange == Exchange::nothing) continue;
    steps.push_back(step + 1);
    since = 0;
  }
  return steps;
}

using Steps = std::vector<std::int64_t>;

TEST(AveragingPolicies, every_policy_averages_weights_when_its_name_says) {
  EXPECT_EQ(averages("never"), Steps{});
  EXPECT_EQ(averages("end"), Steps{13});
  EXPECT_EQ(averages("epoch"), (Steps{5, 10, 13}));
  EXPECT_EQ(averages("every:4"), (Steps{4, 8, 12, 13}));
  EXPECT_EQ(averages("every:1").size(), 13U);
  EXPECT_EQ(averages("post-local:1,4"), (Steps{1, 2, 3, 4, 5, 9, 13}));
}

TEST(AveragingPolicies, a_quadratic_period_grows_as_the_rate_falls) {
  EXPECT_EQ(averages("quadratic:0.1,1", 0.1).size(), 13U);              // (0.1 / 0.1)^2 = 1
  EXPECT_EQ(averages("quadratic:0.1,1", 0.05), (Steps{4, 8, 12, 13}));  // 2^2
  EXPECT_EQ(averages("quadratic:0.1,6", 0.05), (Steps{6, 12, 13}));     // at least K
  EXPECT_EQ(averages("quadratic:0.1,1", 0), Steps{13});
}

TEST(AveragingPolicies, step_averages_gradients_in_every_step) {
  const AveragingPolicy policy = AveragingPolicy::parse("step");
  EXPECT_TRUE(policy.ever_averages_gradients());
  EXPECT_EQ(policy.at({.step = 3, .steps_per_epoch = 5, .last_step = 13}), Exchange::gradients);
}

TEST(AveragingPolicies, those_that_ruin_the_average_warn) {
  EXPECT_THAT(AveragingPolicy::parse("never").warning(), testing::HasSubstr("near chance"));
  EXPECT_THAT(AveragingPolicy::parse("end").warning(), testing::HasSubstr("--average epoch"));
  EXPECT_EQ(AveragingPolicy::parse("every:16").warning(), "");
}

TEST(AveragingPolicies, those_that_average_once_at_most_train_apart) {
  EXPECT_TRUE(AveragingPolicy::parse("never").trains_apart());
  EXPECT_TRUE(AveragingPolicy::parse("end").trains_apart());
  for (const char* text : {"epoch", "every:1000", "step", "post-local:1,4", "quadratic:1,1"}) {
    EXPECT_FALSE(AveragingPolicy::parse(text).trains_apart()) << text;
  }
}

TEST(AveragingPolicies, mistakes_are_named) {
  const auto refusal = [](const char* text) {
    try {
      AveragingPolicy::parse(text);
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refusal("every"), "every:K expected, 0 numbers found");
  EXPECT_EQ(refusal("every:0"), "every:K: K is a whole number of steps from 1, 0 found");
  EXPECT_EQ(refusal("every:2.5"), "every:K: K is a whole number of steps from 1, 2.5 found");
  EXPECT_EQ(refusal("every:x"), "every:K expected, 'x' found");
  EXPECT_EQ(refusal("post-local:1"), "post-local:EPOCH,K expected, 1 number found");
  EXPECT_EQ(refusal("epoch:2"), "epoch expected, 1 number found");
  EXPECT_THAT(refusal("epochs"), testing::HasSubstr("did you mean 'epoch'"));
}

}  // namespace
}  // namespace convoy
