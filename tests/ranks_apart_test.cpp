// Runs whose ranks train apart: own first weights, own samples, and the accuracy of each rank's own weights.
// labels: mpi
// needs: oneDNN
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>

#include "convoy/error.hpp"
#include "mpi/mpi_communicator.hpp"
#include "nn/initialise.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"
#include "train/run_options.hpp"
#include "train/train.hpp"
#include "train/weights_file.hpp"
#include "train/world.hpp"

namespace convoy {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr const char* kTinyNetwork = R"({"name": "tiny", "input": [32, 32, "channels"], "layers": [
  {"name": "conv1", "type": "convolution", "filters": 8, "kernel": 3, "padding": "same"},
  {"name": "relu1", "type": "relu"},
  {"name": "pool1", "type": "max_pool", "kernel": 4},
  {"name": "head", "type": "dense", "outputs": "classes"}]})";

class RanksApart : public testing::Test {
 protected:
  RanksApart() : stream_(std::fopen("/dev/null", "w")) { std::ofstream(network()) << kTinyNetwork; }
  ~RanksApart() override { std::fclose(stream_); }

  std::string network() const { return (folder_.path() / "tiny.json").string(); }

  // Four ranks in this process, a few dozen steps; `more` wins.
  RunResults run(const std::vector<Setting>& more, bool speaks = false) const {
    std::vector<Setting> settings = {{"data", "synthetic:400"}, {"model", network()},  {"epochs", "2"},
                                     {"batch", "40"},           {"optimizer", "adam"}, {"learning-rate", "3e-3"},
                                     {"threads", "1"},          {"log-every", "0"},    {"virtual-ranks", "4"},
                                     {"evaluate-every", "end"}};
    settings.insert(settings.end(), more.begin(), more.end());
    const ProcessClock clock;
    Progress progress(stream_, Progress::Style::quiet, [] { return 0.0; });
    RunContext context(clock, {}, progress, speaks);
    const std::unique_ptr<Communicator> self = make_self_communicator();
    return train(resolve_config("", settings), *self, context);
  }

  TemporaryFolder folder_;
  std::FILE* stream_;
};

// One step that changes nothing.
const Setting kFrozen = {"learning-rate", "0"}, kOneStep = {"steps", "1"};

TEST_F(RanksApart, own_starts_are_as_far_apart_as_independent_draws) {
  // The mean of W independent vectors of one length L is L / sqrt(W) long, and each is sqrt(W - 1) times that away.
  // The cosines of 5,336 weights deviate from 0 by 1 / sqrt(5336); six pairs of them change the mean's squared length
  // by 1.7 %, and the distance by 0.02.
  const RunResults own = run({{"start", "own"}, {"average", "end"}, kFrozen, kOneStep});
  EXPECT_NEAR(own.weight_distance.value(), std::sqrt(3.0), 5 * 0.02);
  const RunResults common = run({{"average", "end"}, kFrozen, kOneStep});
  EXPECT_NEAR(common.weight_distance.value(), 0, 1e-3);  // a difference of two sums in fp64: sqrt(1e-16 * terms)
}

TEST_F(RanksApart, the_first_rank_starts_as_a_run_alone_and_the_others_do_not) {
  const Setting own = {"start", "own"}, one_rank = {"virtual-ranks", "1"}, never = {"average", "never"};
  const RunResults alone = run({one_rank, kFrozen, kOneStep});
  EXPECT_EQ(run({own, one_rank, kFrozen, kOneStep}).test_loss, alone.test_loss);
  const RunResults four = run({own, never, kFrozen, kOneStep});
  ASSERT_THAT(four.local_test_accuracy, SizeIs(4));
  EXPECT_EQ(four.local_test_accuracy[0], alone.test_accuracy);
  EXPECT_THAT(four.local_test_accuracy, Not(Each(four.local_test_accuracy[0])));
  EXPECT_THAT(run({never, kFrozen, kOneStep}).local_test_accuracy, Each(alone.test_accuracy.value()));
}

TEST_F(RanksApart, a_common_start_is_the_draw_of_the_seed_itself) {
  const std::string out = (folder_.path() / "run").string();
  run({{"seed", "5"}, {"out", out}, kFrozen, kOneStep}, /*speaks=*/true);
  const Model model = make_model(network(), 10, 3);
  EXPECT_EQ(read_weights(open_weights(out + "/weights.safetensors"), model.layout), initial_weights(model.layout, 5));
}

TEST_F(RanksApart, four_epochs_of_a_quarter_of_the_set_see_every_sample_once) {
  // Weights stand still, so the mean of the epochs' losses is the set's.
  double sum = 0;
  for (const char* epochs : {"1", "2", "3", "4"}) {
    sum += run({{"samples-per-rank", "25"}, {"epochs", epochs}, kFrozen}).train_loss.value();
  }
  EXPECT_NEAR(sum / 4, run({{"epochs", "1"}, kFrozen}).train_loss.value(), 1e-6);  // fp32 losses, summed in fp64
}

TEST_F(RanksApart, a_rank_alone_with_its_shard_is_what_that_rank_was_in_the_world) {
  // With the same first weights and the same 200 samples of each rank the worlds of one and of four agree on rank 0.
  const std::vector<Setting> settings = {{"start", "own"},
                                         {"shard", "overlapping"},
                                         {"samples-per-rank", "200"},
                                         {"batch-per-rank", "20"},
                                         {"average", "never"}};
  auto alone = settings;
  alone.push_back({"virtual-ranks", "1"});
  const RunResults one = run(alone), four = run(settings);
  ASSERT_THAT(four.local_test_accuracy, SizeIs(4));
  EXPECT_EQ(four.local_test_accuracy[0], one.test_accuracy);
  EXPECT_EQ(four.steps, 20);
  EXPECT_EQ(four.images_seen, 2 * 4 * 200);
}

TEST_F(RanksApart, local_accuracies_are_of_the_weights_before_the_last_average) {
  const std::vector<Setting> settings = {{"start", "own"}, {"shard", "fixed"}};
  auto never = settings, end = settings;
  never.push_back({"average", "never"});
  end.push_back({"average", "end"});
  const RunResults left_alone = run(never), averaged = run(end);
  EXPECT_EQ(averaged.local_test_accuracy, left_alone.local_test_accuracy);
  EXPECT_THAT(averaged.local_test_accuracy, Not(Each(averaged.test_accuracy.value())));
}

TEST_F(RanksApart, local_accuracies_change_no_bit_of_the_training) {
  for (const char* policy : {"every:3", "step"}) {
    const RunResults without = run({{"average", policy}}),
                     with = run({{"average", policy}, {"local-accuracy", "true"}});
    EXPECT_THAT(without.local_test_accuracy, IsEmpty()) << policy;
    EXPECT_THAT(with.local_test_accuracy, SizeIs(4)) << policy;
    EXPECT_EQ(with.test_loss, without.test_loss) << policy;
    EXPECT_EQ(with.train_loss, without.train_loss) << policy;
  }
}

TEST_F(RanksApart, ranks_that_average_gradients_have_the_accuracy_of_their_average) {
  // Four fp32 copies of the same weights are averaged to the same weights: a sum of four and a division are exact.
  const RunResults results = run({{"average", "step"}, {"local-accuracy", "true"}});
  EXPECT_THAT(results.local_test_accuracy, Each(results.test_accuracy.value()));
}

TEST_F(RanksApart, shards_change_what_is_learnt) {
  const RunResults epoch = run({}), fixed = run({{"shard", "fixed"}}), skewed = run({{"shard", "dirichlet:0.1"}});
  EXPECT_NE(epoch.test_loss, fixed.test_loss);
  EXPECT_NE(fixed.test_loss, skewed.test_loss);
  EXPECT_EQ(epoch.images_seen, skewed.images_seen);
}

TEST_F(RanksApart, processes_report_what_virtual_ranks_do) {
  const std::string convoy = CONVOY_TEST_EXECUTABLE;
  if (convoy.empty()) GTEST_SKIP() << "built without the executable";
  if (!mpi_missing().empty()) GTEST_SKIP() << mpi_missing();
  if (test::run_shell("mpirun --version").code != 0) GTEST_SKIP() << "no mpirun on the PATH";
  const auto summary = [&](const std::string& launch, const std::string& ranks) {
    const std::string folder = (folder_.path() / ("run" + ranks)).string();
    const test::ShellOutcome outcome = test::run_shell(
        "CONVOY='" + convoy + "' " + launch + " train --data synthetic:400 --model '" + network() +
        "' --epochs 2 --batch-per-rank 20 --start own --shard overlapping --samples-per-rank 100 --average end "
        "--optimizer sgd --learning-rate 0.05 --threads 1 --virtual-ranks " +
        ranks + " --out '" + folder + "' 2>&1");
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("the averaged model is near chance")) << outcome.output;
    return nlohmann::json::parse(std::ifstream(folder + "/summary.json"));
  };
  const auto together = summary("'" + convoy + "'", "4"),
             apart = summary("'" CONVOY_TEST_SOURCE_DIR "/tools/launch' 2", "2");
  EXPECT_EQ(apart["world_size"], 4);
  ASSERT_THAT(together["local_test_accuracy"], SizeIs(4));
  EXPECT_EQ(apart["local_test_accuracy"], together["local_test_accuracy"]);  // no rank's steps depend on another's
  // Sums of four fp32 numbers in another order: a relative 1e-7 of each weight.
  EXPECT_NEAR(apart["test_loss"], together["test_loss"], 1e-5 * together["test_loss"].get<double>());
}

TEST(Worlds, samples_per_rank_need_equal_parts_of_a_step) {
  RunConfig config = resolve_config("", {{"samples-per-rank", "100"}, {"batch", "10"}});
  try {
    resolve_ranks(config, {.workers = 3});
    ADD_FAILURE() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("3 ranks take unequal parts of a step's 10 images"));
  }
  EXPECT_THAT(resolve_ranks(config, {.workers = 5}), testing::Contains(HasSubstr("100 images of each rank")));
}

TEST(Worlds, an_own_start_warns_before_and_explains_after) {
  RunConfig config = resolve_config("seed-parallel", {});
  EXPECT_THAT(resolve_ranks(config, {.workers = 4}), testing::Contains(HasSubstr("started apart are near chance")));
  EXPECT_THAT(advice_at_end(config, {.workers = 4}), HasSubstr("--recipe local-sgd"));
  const RunConfig advised = resolve_config("local-sgd", {});
  EXPECT_EQ(advised.model, config.model);
  EXPECT_EQ(advice_at_end(advised, {.workers = 4}), "");
  EXPECT_EQ(advice_at_end(config, {}), "");  // one rank is no worse for it
  config.start = WeightStart::common;
  EXPECT_EQ(advice_at_end(config, {.workers = 4}), "");
}

TEST(Recipes, seed_parallel_is_the_baseline_but_for_what_the_replaced_program_does_with_ranks) {
  const RunConfig baseline = resolve_config("seed-baseline", {}), parallel = resolve_config("seed-parallel", {});
  std::vector<std::string> changed;
  for (const RunOption& row : run_options()) {
    if (row.get(baseline) != row.get(parallel)) changed.push_back(std::string(row.name) + " " + row.get(parallel));
  }
  EXPECT_THAT(changed, testing::UnorderedElementsAre("epochs 4", "test-images 6000", "average end", "batch-per-rank 64",
                                                     "shard overlapping", "samples-per-rank 30000", "start own",
                                                     "evaluate-every end"));
}

}  // namespace
}  // namespace convoy
