// What a configuration becomes for a number of ranks: policy, global batch, rates and their warm-up.
#include "train/world.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "convoy/error.hpp"

namespace convoy {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct Resolved {
  RunConfig config;
  std::vector<std::string> lines;
};

Resolved resolved(const World& world, std::vector<Setting> settings) {
  Resolved result{resolve_config("", settings), {}};
  result.lines = resolve_ranks(result.config, world);
  return result;
}

constexpr World kOne{1, 1}, kFour{4, 1}, kTwoOfThree{2, 3};

TEST(Worlds, the_batch_of_each_rank_times_the_ranks_is_the_global_batch) {
  EXPECT_EQ(resolved(kFour, {{"batch-per-rank", "32"}}).config.batch, 128);
  EXPECT_EQ(resolved(kTwoOfThree, {{"batch-per-rank", "32"}}).config.batch, 192);
  EXPECT_EQ(resolved(kOne, {{"batch-per-rank", "32"}}).config.batch, 32);
  EXPECT_EQ(resolved(kFour, {{"batch", "100"}}).config.batch, 100);
}

TEST(Worlds, rates_stay_unless_scaling_is_asked_for) {
  const auto rate = [](const World& world, std::vector<Setting> settings) {
    settings.push_back({"learning-rate", "0.1"});
    settings.push_back({"batch", "64"});
    return resolved(world, settings).config.optimizer.learning_rate;
  };
  EXPECT_DOUBLE_EQ(rate(kFour, {{"batch-per-rank", "64"}}), 0.1);
  EXPECT_DOUBLE_EQ(rate(kFour, {{"batch-per-rank", "64"}, {"scale-rate", "linear"}}), 0.4);
  EXPECT_DOUBLE_EQ(rate(kFour, {{"batch-per-rank", "64"}, {"scale-rate", "sqrt"}}), 0.2);
  EXPECT_DOUBLE_EQ(rate(kFour, {{"batch-per-rank", "32"}, {"scale-rate", "linear"}}), 0.2);
  EXPECT_DOUBLE_EQ(rate(kOne, {{"batch-per-rank", "32"}, {"scale-rate", "linear"}}), 0.05);
}

TEST(Worlds, rates_of_groups_are_scaled_with_the_run_s) {
  const RunConfig config = resolved(kFour, {{"batch", "64"},
                                            {"learning-rate", "0.1"},
                                            {"group", "biases.learning-rate=0.5"},
                                            {"group", "norm.weight-decay=0"},
                                            {"batch-per-rank", "64"},
                                            {"scale-rate", "linear"}})
                               .config;
  EXPECT_DOUBLE_EQ(config.group("biases").learning_rate, 2.0);
  EXPECT_DOUBLE_EQ(config.group("norm").learning_rate, 0.4);  // inherited, scaled once
}

TEST(Worlds, a_larger_rate_gets_a_warm_up_of_a_twentieth_of_the_epochs) {
  const auto warmup = [](const World& world, std::vector<Setting> settings) {
    settings.insert(settings.end(), {{"epochs", "20"}, {"batch", "64"}, {"scale-rate", "linear"}});
    return resolved(world, settings).config.optimizer.warmup_epochs;
  };
  EXPECT_DOUBLE_EQ(warmup(kFour, {{"batch-per-rank", "64"}}), 1.0);
  EXPECT_DOUBLE_EQ(warmup(kFour, {{"batch-per-rank", "17"}}), 1.0);  // 68 images instead of 64
  EXPECT_DOUBLE_EQ(warmup(kFour, {{"batch-per-rank", "64"}, {"warmup-epochs", "3"}}), 3.0);
  EXPECT_DOUBLE_EQ(warmup(kFour, {{"batch-per-rank", "64"}, {"warmup-steps", "10"}}), 0.0);
  EXPECT_DOUBLE_EQ(warmup(kFour, {{"batch-per-rank", "64"}, {"schedule", "triangular"}}), 0.0);
  EXPECT_DOUBLE_EQ(warmup(kFour, {{"batch-per-rank", "64"}, {"group", "biases.warmup-epochs=2"}}), 0.0);
  EXPECT_DOUBLE_EQ(warmup(kFour, {{"batch-per-rank", "8"}}), 0.0);  // a smaller batch, so a smaller rate
}

TEST(Worlds, what_is_in_force_is_said_with_its_reason) {
  EXPECT_THAT(resolved(kFour, {{"batch", "64"}}).lines,
              Contains(HasSubstr("each rank takes 16 of a step's 64 images")));
  EXPECT_THAT(resolved(kFour, {{"batch", "64"}}).lines, Contains(HasSubstr("--batch-per-rank 64")));
  EXPECT_THAT(resolved(kFour, {}).lines, Contains("average: step [the default: as one rank on the same batches]"));
  EXPECT_THAT(resolved(kFour, {{"average", "every:4"}}).lines, Contains("average: every:4 [as asked]"));
  EXPECT_THAT(resolved(kFour, {{"average", "end"}}).lines, Contains(HasSubstr("warning: --average end: ")));
  EXPECT_THAT(resolved(kFour, {{"batch", "64"}, {"batch-per-rank", "64"}, {"scale-rate", "linear"}}).lines,
              Contains("rates: times 4, for a batch of 256 instead of 64 [--scale-rate]"));
  EXPECT_THAT(resolved(kFour, {{"batch", "64"}, {"batch-per-rank", "64"}}).lines,
              Not(Contains(HasSubstr("--batch-per-rank"))));
  EXPECT_THAT(resolved(kOne, {{"average", "end"}}).lines, IsEmpty());
}

TEST(Worlds, more_ranks_than_images_in_a_batch_are_refused) {
  try {
    resolved(kTwoOfThree, {{"batch", "5"}});
    ADD_FAILURE() << "6 ranks took a batch of 5";
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(),
                 "6 ranks share batches of 5 images: use at most 5 ranks, a larger --batch, or --batch-per-rank");
  }
  EXPECT_EQ(resolved(kTwoOfThree, {{"batch", "6"}}).config.batch, 6);
}

TEST(Worlds, a_resolved_configuration_says_the_same_when_it_is_resolved_again) {
  Resolved once = resolved(kFour, {{"batch", "64"}, {"batch-per-rank", "64"}, {"scale-rate", "linear"}});
  RunConfig again = parse_recipe(to_toml(once.config), "recipe.toml");
  resolve_ranks(again, kFour);
  EXPECT_EQ(to_toml(again), to_toml(once.config));
  resolve_ranks(again, kOne);
  EXPECT_EQ(to_toml(again), to_toml(once.config));
}

}  // namespace
}  // namespace convoy
