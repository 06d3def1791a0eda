// --repeat: every run of a series is what its seed alone would be, to the bit, whatever the run before left behind.
// needs: oneDNN
#include "train/series.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "convoy/error.hpp"
#include "support/files.hpp"
#include "support/smooth_training.hpp"
#include "support/training_run.hpp"
#include "train/checkpoint/resume.hpp"

namespace convoy::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Series : public SmoothTraining {
 protected:
  void SetUp() override {
    SmoothTraining::SetUp();
    std::ofstream(folder_.path() / "tiny.json") << kTinyNetwork;  // with dropout
  }
  Settings tiny() const { return {{"model", (folder_.path() / "tiny.json").string()}}; }
  fs::path out() const { return folder_.path() / "series"; }

  void train_series(const Settings& settings, int workers = 1) {
    run_series(out(), Settings{{"log-every", "3"}} + settings + Settings{{"seed", "5"}, {"repeat", "2"}}, workers);
  }

  // What training leaves, but for times, in the last of both.
  void expect_as_alone(const Settings& settings, int workers = 1) {
    fs::remove_all(out());
    train_series(settings, workers);
    const fs::path alone = run(Settings{{"log-every", "3"}} + settings + Settings{{"seed", "6"}}, workers);
    const fs::path last = out() / "seed-6";
    EXPECT_EQ(weights_of(last), weights_of(alone));
    EXPECT_NE(weights_of(out() / "seed-5"), weights_of(alone));
    EXPECT_EQ(text_of(last / "recipe.toml"), text_of(alone / "recipe.toml"));
    for (const char* kind : {"step", "epoch"}) {
      auto rows = rows_of(last, kind), expected = rows_of(alone, kind);
      for (auto* all : {&rows, &expected}) {
        for (auto& row : *all) {
          for (const char* time : {"elapsed_seconds", "train_seconds", "images_per_second"}) row.erase(time);
        }
      }
      EXPECT_EQ(rows, expected);
    }
    const auto summary = summary_of(last), expected = summary_of(alone);
    for (const char* field : {"state", "test_accuracy", "test_loss", "steps", "collectives", "bytes_sent"}) {
      EXPECT_EQ(summary[field], expected[field]) << field;
    }
    EXPECT_EQ(summary["configuration"]["seed"], 6);
    EXPECT_EQ(summary["configuration"]["out"], last.string());
  }
};

Settings average(const std::string& policy, const std::string& virtual_ranks) {
  return {{"average", policy}, {"virtual-ranks", virtual_ranks}};
}

TEST_F(Series, of_one_rank_has_the_bits_of_each_seed_alone) {
  const Settings augmented = {{"flip", "random"}, {"translate", "2"}, {"cutout", "4"}, {"clip-norm", "1"}};
  expect_as_alone(tiny() + kUneven + kNesterov + augmented);
  expect_as_alone(tiny() + kUneven + kAdam);
  expect_as_alone(smooth_norm() + kUneven + kMuon + Settings{{"ema", "0.9"}});
  expect_as_alone(smooth_norm() + kUneven + kNesterov + Settings{{"data-mode", "staged"}});
  expect_as_alone(smooth_norm() + kUneven + kNesterov +
                  Settings{{"group", "biases.until-epoch=1"}, {"clip-norm", "1"}});
}

// Other images are held out for each seed, and other statistics follow.
TEST_F(Series, with_a_validation_set_too) {
  expect_as_alone(tiny() + kUneven + kNesterov + Settings{{"validation", "20"}});
}

TEST_F(Series, of_many_ranks_too) {
  const Settings slowmo = {{"outer", "slowmo"}}, moments = {{"moments", "average"}}, delayed = {{"average-delay", "1"}};
  const Settings own = {{"start", "own"}, {"shard", "fixed"}}, skewed = {{"shard", "dirichlet:0.5"}};
  const Settings training = smooth_norm() + kUneven + kNesterov;
  expect_as_alone(training + average("step", "3"));
  expect_as_alone(training + average("every:3", "3") + slowmo + skewed);
  expect_as_alone(training + average("every:3", "2") + moments + delayed, 2);
  expect_as_alone(training + average("step", "1"), 3);
  expect_as_alone(training + average("end", "2") + own, 2);
}

TEST_F(Series, each_seed_has_a_folder_and_the_series_a_recipe_that_repeats_it) {
  train_series(smooth() + kUneven + kNesterov);
  const std::optional<RunConfig> stored = stored_series(out());
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->repeat, 2);
  EXPECT_EQ(stored->seed, 5U);
  for (const std::string file : {"metrics.jsonl", "summary.json", "recipe.toml", "weights.safetensors"}) {
    EXPECT_TRUE(fs::exists(out() / "seed-5" / file)) << file;
    EXPECT_TRUE(fs::exists(out() / "seed-6" / file)) << file;
  }
  EXPECT_FALSE(stored_series(out() / "seed-5")) << "a run of a series is a run";
  const auto first = summary_of(out() / "seed-5")["test_accuracy"].get<double>(),
             second = summary_of(out() / "seed-6")["test_accuracy"].get<double>();
  const double mean = (first + second) / 2, deviation = std::abs(first - second) / std::sqrt(2);
  RunConfig series = *stored;
  series.out = out().string();
  EXPECT_EQ(series_table(series), fmt::format("  seed  test accuracy\n     5  {:.4f}\n     6  {:.4f}\n"
                                              "  mean  {:.4f} ± {:.4f} (n = 2)",
                                              first, second, mean, deviation));
}

// A loss that is no number, in the first of them.
TEST_F(Series, ends_with_a_run_that_fails) {
  const Settings diverging = {{"optimizer", "sgd"}, {"learning-rate", "1e8"}};
  try {
    train_series(smooth() + kUneven + diverging);
    FAIL() << "did not fail";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("finite number"));
  }
  EXPECT_TRUE(fs::exists(out() / "seed-5"));
  EXPECT_FALSE(fs::exists(out() / "seed-6"));
}

TEST_F(Series, a_run_does_not_go_on_as_a_series_nor_a_series_as_a_run) {
  train_series(smooth() + kUneven + kNesterov);
  const Settings here = {{"resume", "auto"}, {"out", out().string()}};
  const auto message_of = [](const Settings& settings) -> std::string {
    try {
      resolve_resuming("", settings);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(resolve_resuming("", here).repeat, 2);
  EXPECT_EQ(resolve_resuming("", here + Settings{{"repeat", "3"}}).repeat, 3);
  EXPECT_THAT(message_of(here + Settings{{"repeat", "1"}}),
              HasSubstr("--repeat: the run has '2' and cannot go on with '1'"));
  EXPECT_THAT(message_of(here + Settings{{"batch", "5"}}),
              HasSubstr("--batch: the run has '10' and cannot go on with '5'"));
  for (const char* every : {"5", "0"}) {
    const fs::path single = run(smooth() + kUneven + kNesterov + Settings{{"checkpoint-every", every}});
    EXPECT_EQ(message_of({{"resume", "auto"}, {"out", single.string()}, {"repeat", "2"}}),
              "--repeat: a single run cannot become a series; use another --out");
  }
}

}  // namespace
}  // namespace convoy::test
