// Training over many ranks: what equals one rank, what does not, and that it does not matter whether ranks are workers
// or share one. Workers are threads here; mpi_test has the processes.
// needs: oneDNN
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/smooth_training.hpp"

namespace convoy {
namespace {

using namespace test;

Settings average(const std::string& policy, int virtual_ranks) {
  return {{"average", policy}, {"virtual-ranks", std::to_string(virtual_ranks)}};
}

class Ranks : public SmoothTraining {};

TEST_F(Ranks, averaging_gradients_equals_one_rank_on_the_same_batches) {
  const Settings settings = smooth() + kEven + kNesterov;
  const RunWeights one = trained(settings);
  EXPECT_GT(distance(trained(settings + Settings{{"steps", "1"}}).trained, one.trained), 0.05) << "it hardly learns";
  for (const int ranks : {2, 3, 4, 8}) {
    EXPECT_LT(distance(trained(settings + average("step", ranks)).trained, one.trained), kRounding) << ranks;
    EXPECT_GT(distance(trained(settings + average("every:4", ranks)).trained, one.trained), 20 * kRounding) << ranks;
  }
}

TEST_F(Ranks, with_batch_normalisation_too_where_one_rank_normalises_in_the_same_groups) {
  const Settings settings = smooth_norm() + kEven + kNesterov;
  const RunWeights alone = trained(settings);
  for (const int ranks : {2, 3, 4, 8}) {
    const RunWeights many = trained(settings + average("step", ranks));
    const RunWeights one = trained(settings + Settings{{"norm-group-size", std::to_string(24 / ranks)}});
    EXPECT_LT(distance(many.trained, one.trained), kRounding) << ranks;
    EXPECT_LT(distance(many.statistics, one.statistics), kRounding) << ranks;
    EXPECT_GT(distance(many.trained, alone.trained), 20 * kRounding) << ranks << ": groups make no difference";
  }
}

TEST_F(Ranks, adam_and_muon_equal_one_rank_within_what_they_make_of_a_rounding) {
  for (const Settings& optimizer : {kAdam, kMuon}) {
    const Settings settings = smooth() + kEven + optimizer;
    const RunWeights one = trained(settings);
    for (const int ranks : {2, 3, 8}) {
      EXPECT_LT(distance(trained(settings + average("step", ranks)).trained, one.trained), kAmplified)
          << optimizer.front().value << ", " << ranks;
    }
  }
}

TEST_F(Ranks, averaging_weights_after_every_step_equals_averaging_gradients_for_sgd_alone) {
  const auto apart = [&](const Settings& optimizer) {
    const Settings settings = smooth() + kEven + optimizer;
    return distance(trained(settings + average("every:1", 3)).trained, trained(settings + average("step", 3)).trained);
  };
  EXPECT_LT(apart(kNesterov), kRounding);
  EXPECT_GT(apart(kAdam), 1e-2);
  EXPECT_GT(apart(kMuon), 1e-2);
}

TEST_F(Ranks, virtual_ranks_equal_as_many_workers) {
  struct Shape {
    int workers, local;
  };
  for (const char* policy : {"step", "every:4", "epoch", "never"}) {
    const Settings settings = smooth_norm() + kUneven + kNesterov;
    for (const int ranks : {3, 4}) {
      const RunWeights alone = trained(settings + average(policy, ranks));
      const RunWeights workers = trained(settings + average(policy, 1), ranks);
      EXPECT_LT(distance(workers.trained, alone.trained), kRounding) << policy << ", " << ranks;
      EXPECT_LT(distance(workers.statistics, alone.statistics), kRounding) << policy << ", " << ranks;
    }
    EXPECT_LT(
        distance(trained(settings + average(policy, 2), 2).trained, trained(settings + average(policy, 4)).trained),
        kRounding)
        << policy;
  }
}

TEST_F(Ranks, a_run_repeats_to_the_bit) {
  for (const char* policy : {"step", "every:4"}) {
    const Settings settings = smooth_norm() + kUneven + kNesterov;
    EXPECT_EQ(trained(settings + average(policy, 4)), trained(settings + average(policy, 4))) << policy;
    EXPECT_EQ(trained(settings + average(policy, 1), 4), trained(settings + average(policy, 1), 4)) << policy;
  }
}

TEST_F(Ranks, uneven_shares_are_exact) {
  const Settings settings = smooth() + kUneven + kNesterov + Settings{{"log-every", "1"}};
  const auto one = run(settings), three = run(settings + average("step", 3)),
             four = run(settings + average("step", 1), 4);
  for (const auto& many : {three, four}) {
    EXPECT_LT(distance(weights_of(many).trained, weights_of(one).trained), kRounding);
    const auto rows = rows_of(many, "step"), expected = rows_of(one, "step");
    ASSERT_EQ(rows.size(), 22U);
    ASSERT_EQ(expected.size(), 22U);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_NEAR(rows[i]["loss"].get<double>(), expected[i]["loss"].get<double>(), kRounding) << "step " << i + 1;
      EXPECT_EQ(rows[i]["images_seen"], expected[i]["images_seen"]);
    }
  }
}

TEST_F(Ranks, each_rank_logs_what_it_did_by_itself) {
  const auto folder = run(
      smooth() + kUneven + kNesterov + average("every:4", 2) + Settings{{"log-every", "4"}, {"log-ranks", "true"}}, 2);
  std::map<std::string, std::vector<std::vector<nlohmann::json>>> rows;  // by kind and rank
  for (int rank = 0; rank < 4; ++rank) {
    std::ifstream file(folder / "ranks" / (std::to_string(rank) + ".jsonl"));
    for (const char* kind : {"rank", "step", "epoch"}) rows[kind].emplace_back();
    for (std::string line; std::getline(file, line);) {
      nlohmann::json row = nlohmann::json::parse(line);
      const std::string kind = row["kind"];
      rows[kind].back().push_back(std::move(row));
    }
    ASSERT_EQ(rows["rank"].back().size(), 1U);
    EXPECT_EQ(rows["rank"].back().front()["rank"], rank);
    EXPECT_EQ(rows["rank"].back().front()["world_size"], 4);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "ranks" / "4.jsonl"));
  // Together they are the rows of the run.
  for (const auto& [kind, loss] : {std::pair{"step", "loss"}, {"epoch", "train_loss"}}) {
    const auto together = rows_of(folder, kind);
    ASSERT_GT(together.size(), 1U);
    std::int64_t images_before = 0;
    for (std::size_t i = 0; i < together.size(); ++i) {
      std::int64_t images = 0;
      double sum = 0;
      for (const auto& of_rank : rows[kind]) {
        ASSERT_EQ(of_rank.size(), together.size());
        EXPECT_EQ(of_rank[i]["step"], together[i]["step"]);
        images += of_rank[i]["images"].get<std::int64_t>();
        sum += of_rank[i]["images"].get<double>() * of_rank[i]["loss"].get<double>();
        EXPECT_GE(of_rank[i]["train_seconds"], of_rank[i]["wait_seconds"]);
      }
      EXPECT_EQ(images, together[i]["images_seen"].get<std::int64_t>() - images_before);
      EXPECT_NEAR(sum / static_cast<double>(images), together[i][loss].get<double>(), 1e-9) << kind;
      images_before = together[i]["images_seen"];
    }
  }
  EXPECT_NE(rows["step"][0][0]["loss"], rows["step"][1][0]["loss"]);
  EXPECT_FALSE(std::filesystem::exists(run(smooth() + kEven) / "ranks"));
}

TEST_F(Ranks, the_summary_counts_ranks_and_collectives) {
  const Settings settings = smooth() + kEven + kNesterov;
  const auto summary = [&](const char* policy) { return summary_of(run(settings + average(policy, 2), 2)); };
  const nlohmann::json step = summary("step"), fourth = summary("every:4"), never = summary("never");
  constexpr int kEvaluations = 2;  // each of the average over all ranks
  EXPECT_EQ(step["world_size"], 4);
  EXPECT_EQ(step["collectives"], 20 + kEvaluations);
  EXPECT_EQ(fourth["collectives"], 5 + kEvaluations);
  EXPECT_EQ(never["collectives"], kEvaluations);
  EXPECT_EQ(step.value("weight_distance", 0.0), 0);
  EXPECT_GT(fourth["weight_distance"], 1e-4);
  EXPECT_LT(fourth["weight_distance"], 1);
  const auto model_bytes = never["bytes_sent"].get<double>() / kEvaluations;
  EXPECT_NEAR(fourth["bytes_sent"].get<double>(), 7 * model_bytes, 1);
  for (const char* field : {"communication_seconds", "exposed_communication_seconds", "wait_seconds"}) {
    EXPECT_TRUE(step.contains(field)) << field;
  }
  const nlohmann::json alone = summary_of(run(settings));
  EXPECT_EQ(alone["world_size"], 1);
  EXPECT_EQ(alone["collectives"], 0);
  EXPECT_EQ(alone["average_bytes"], model_bytes);
}

}  // namespace
}  // namespace convoy
