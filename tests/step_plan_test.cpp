// The steps of a run: every sample once an epoch over all ranks, weights that make the average plain, the rates of
// every group, and the recordings that will be needed.
#include <gtest/gtest.h>

#include <set>

#include "train/plan.hpp"

namespace convoy {
namespace {

constexpr const char* kNetwork = R"({"name": "two", "input": [8, 8, 3], "layers": [
  {"name": "conv", "type": "convolution", "filters": 4, "kernel": 3, "group": "filters", "bias_group": "biases"},
  {"name": "head", "type": "dense", "outputs": "classes", "bias_group": "biases"}]})";

class StepPlans : public testing::Test {
 protected:
  StepPlan plan(std::size_t images, int rank = 0, int world_size = 1) const {
    return {config_, model_.layout, static_cast<std::int64_t>(images), rank, world_size};
  }
  int group(const char* name) const { return model_.layout.find_group(name); }
  void set_group(const std::string& name, const std::string& option_and_value) {
    config_.groups = resolve_config("", {{"group", name + "." + option_and_value}}).groups;
  }

  Model model_ = make_model(parse_network(kNetwork, "test"), 10, 3);
  RunConfig config_ = resolve_config("", {{"batch", "10"}, {"epochs", "3"}, {"seed", "77"}});
};

TEST_F(StepPlans, the_last_batch_holds_what_is_left) {
  const StepPlan uneven = plan(34), even = plan(30), few = plan(7);
  EXPECT_EQ(uneven.steps_per_epoch(), 4);
  EXPECT_EQ(uneven.scheduled_steps(), 12);
  EXPECT_EQ(uneven.global_images(2), 10);
  EXPECT_EQ(uneven.global_images(3), 4);
  EXPECT_EQ(uneven.global_images(7), 4);
  EXPECT_EQ(uneven.images(), 3 * 34);
  EXPECT_EQ(even.steps_per_epoch(), 3);
  EXPECT_EQ(even.global_images(2), 10);
  EXPECT_EQ(few.steps_per_epoch(), 1);
  EXPECT_EQ(few.global_images(0), 7);
}

TEST_F(StepPlans, the_ranks_cover_every_position_of_an_epoch_once_in_batches_of_all_together) {
  for (const int world_size : {1, 2, 3, 7, 12}) {
    SCOPED_TRACE(world_size);
    std::vector<std::vector<StepRow>> ranks;
    for (int rank = 0; rank < world_size; ++rank) ranks.push_back(plan(34, rank, world_size).rows(1));
    std::int32_t next = 0;
    for (std::size_t step = 0; step < 4; ++step) {
      std::int32_t together = 0;
      for (const std::vector<StepRow>& rows : ranks) {
        ASSERT_EQ(rows.size(), 4U);
        if (rows[step].count > 0) EXPECT_EQ(rows[step].first, next);
        next += rows[step].count;
        together += rows[step].count;
      }
      EXPECT_EQ(together, step < 3 ? 10 : 4);
    }
    EXPECT_EQ(next, 34);
  }
}

TEST_F(StepPlans, a_row_knows_its_seed_epoch_and_step) {
  const std::vector<StepRow> rows = plan(34).rows(2);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].seed, 77U);
    EXPECT_EQ(rows[i].epoch, 2);
    EXPECT_EQ(rows[i].step, 8 + static_cast<std::int64_t>(i));
  }
}

// The plain mean over the ranks of what each sums up must be the mean (or the sum) over the global batch.
TEST_F(StepPlans, every_average_over_the_ranks_is_plain) {
  for (const int world_size : {1, 3}) {
    for (int rank = 0; rank < world_size; ++rank) {
      config_.loss_reduction = LossReduction::mean;
      const std::vector<StepRow> means = plan(34, rank, world_size).rows(0);
      EXPECT_FLOAT_EQ(means[0].loss_weight / static_cast<float>(world_size), 1.0F / 10);
      EXPECT_FLOAT_EQ(means[3].loss_weight / static_cast<float>(world_size), 1.0F / 4);
      config_.loss_reduction = LossReduction::sum;
      const std::vector<StepRow> sums = plan(34, rank, world_size).rows(0);
      EXPECT_EQ(sums[0].loss_weight / static_cast<float>(world_size), 1.0F);
      EXPECT_EQ(sums[3].loss_weight / static_cast<float>(world_size), 1.0F);
    }
  }
}

TEST_F(StepPlans, all_ranks_replay_the_same_kinds_and_the_largest_share_fits) {
  for (const int world_size : {1, 3, 12}) {
    std::vector<StepVariant> first;
    for (int rank = 0; rank < world_size; ++rank) {
      const StepPlan one = plan(34, rank, world_size);
      const std::vector<StepRow> rows = one.rows(0);
      for (std::int64_t step = 0; step < 4; ++step) {
        EXPECT_LE(rows[static_cast<std::size_t>(step)].count, one.variant(step).batch);
      }
      if (rank == 0) first = one.variants();
      EXPECT_EQ(one.variants(), first) << rank;
    }
  }
}

TEST_F(StepPlans, the_variants_are_those_that_occur_by_first_appearance) {
  set_group("biases", "until-epoch=2");
  const std::set<int> none, biases = {group("biases")};
  const std::vector<StepVariant> expected = {{10, none}, {4, none}, {10, biases}, {4, biases}};
  EXPECT_EQ(plan(34).variants(), expected);
  EXPECT_EQ(plan(34).variant(7), expected[1]);
  EXPECT_EQ(plan(34).variant(8), expected[2]);
  config_.steps = 3;
  EXPECT_EQ(plan(34).variants(), (std::vector<StepVariant>{{10, none}})) << "a step that is never taken is not planned";
}

TEST_F(StepPlans, a_group_may_stop_within_an_epoch_and_has_no_rate_afterwards) {
  set_group("biases", "until-epoch=1.5");
  config_.optimizer.learning_rate = 0.5;
  const StepPlan half = plan(34);
  EXPECT_TRUE(half.variant(5).frozen_groups.empty());
  EXPECT_EQ(half.variant(6).frozen_groups, std::set<int>{group("biases")});
  const std::vector<StepRow> rows = half.rows(1);
  EXPECT_EQ(rows[1].learning_rates[group("biases")], 0.5F);
  EXPECT_EQ(rows[2].learning_rates[group("biases")], 0.0F);
  EXPECT_EQ(rows[2].learning_rates[group("filters")], 0.5F);
}

TEST_F(StepPlans, a_group_that_stops_within_its_first_step_takes_that_one_and_no_more) {
  set_group("biases", "until-epoch=0.01");
  EXPECT_TRUE(plan(34).variant(0).frozen_groups.empty());
  EXPECT_EQ(plan(34).variant(1).frozen_groups, std::set<int>{group("biases")});
}

TEST_F(StepPlans, every_group_follows_its_own_schedule_and_stopping_early_changes_none) {
  config_.optimizer.learning_rate = 0.4;
  config_.optimizer.schedule = ScheduleKind::linear;
  config_.groups = resolve_config("", {{"group", "filters.learning-rate=0.1"},
                                       {"group", "biases.warmup-epochs=1"},
                                       {"group", "biases.schedule=constant"}})
                       .groups;
  for (const std::int64_t steps : {0, 5}) {
    config_.steps = steps;
    const StepPlan whole = plan(34);  // 12 steps, 4 an epoch
    EXPECT_EQ(whole.last_step(), steps == 0 ? 12 : 5);
    EXPECT_EQ(whole.scheduled_steps(), 12);
    const std::vector<StepRow> first = whole.rows(0), second = whole.rows(1);
    EXPECT_FLOAT_EQ(first[0].learning_rates[group("filters")], 0.1F);
    EXPECT_FLOAT_EQ(second[2].learning_rates[group("filters")], 0.05F);  // step 6 of 12
    EXPECT_FLOAT_EQ(first[1].learning_rates[group("biases")], 0.2F);     // the second of four warm-up steps
    EXPECT_FLOAT_EQ(second[2].learning_rates[group("biases")], 0.4F);
    EXPECT_FLOAT_EQ(second[2].learning_rates[group("dense")], 0.2F);
    EXPECT_DOUBLE_EQ(whole.learning_rate(6), 0.2);
  }
}

TEST_F(StepPlans, steps_may_end_a_run_within_an_epoch_but_never_lengthen_it) {
  config_.steps = 6;
  EXPECT_EQ(plan(34).last_step(), 6);
  EXPECT_EQ(plan(34).images(), 34 + 2 * 10);
  config_.steps = 8;
  EXPECT_EQ(plan(34).images(), 2 * 34);
  config_.steps = 1000;
  EXPECT_EQ(plan(34).last_step(), 12);
  EXPECT_EQ(plan(34).images(), 3 * 34);
}

}  // namespace
}  // namespace convoy
