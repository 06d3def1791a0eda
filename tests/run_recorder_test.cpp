// What a run leaves behind: the rows of metrics.jsonl and summary.json with its state, field by field.
#include "io/run_recorder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

using Json = nlohmann::json;

class RunRecorderTest : public testing::Test {
 protected:
  RunRecorderTest()
      : stream_(std::fopen("/dev/null", "w")),
        progress_(stream_, Progress::Style::quiet, [] { return 0.0; }),
        recorder_(RunFolder::create(folder_.path() / "run"), {"convoy", "train", "--data", "a b"}, clock_, progress_) {}
  ~RunRecorderTest() override { std::fclose(stream_); }

  void start() {
    RunFacts facts;
    facts.recipe = "seed-baseline";
    facts.data_checksum = "00ff";
    facts.training_images = 50'000;
    facts.device = "cpu";
    facts.versions = {{"onednn", "2.6.3"}};
    recorder_.start(facts, "epochs = 5\n", "{\"epochs\":5}", {});
  }
  Json summary() { return Json::parse(std::ifstream(recorder_.folder()->file("summary.json"))); }
  std::vector<Json> rows() {
    std::vector<Json> found;
    std::ifstream file(recorder_.folder()->file("metrics.jsonl"));
    for (std::string line; std::getline(file, line);) found.push_back(Json::parse(line));
    return found;
  }

  TemporaryFolder folder_;
  ProcessClock clock_;
  std::FILE* stream_;
  Progress progress_;
  RunRecorder recorder_;
};

TEST_F(RunRecorderTest, before_the_first_step_there_are_a_recipe_and_a_running_summary) {
  start();
  std::ifstream recipe(recorder_.folder()->file("recipe.toml"));
  std::string line;
  std::getline(recipe, line);
  EXPECT_EQ(line, "epochs = 5");
  const Json json = summary();
  EXPECT_EQ(json["state"], "running");
  EXPECT_FALSE(json.contains("test_accuracy"));
  EXPECT_EQ(json["configuration"]["epochs"], 5);
  EXPECT_EQ(json["command_line"], Json::parse(R"(["convoy", "train", "--data", "a b"])"));
  EXPECT_EQ(json["data_checksum"], "00ff");
  EXPECT_EQ(json["training_images"], 50'000);
  EXPECT_EQ(json["versions"]["onednn"], "2.6.3");
  EXPECT_GT(json["peak_host_bytes"], 1'000'000);
  for (const char* field : {"version", "commit", "dirty", "compiler", "host", "device", "precision", "world_size"}) {
    EXPECT_TRUE(json.contains(field)) << field;
  }
}

TEST_F(RunRecorderTest, step_rows_have_exactly_their_fields) {
  start();
  StepMetrics row;
  row.step = 100;
  row.epoch = 1;
  row.learning_rate = 0.001;
  row.images_seen = 6400;
  row.images_per_second = 5000;
  row.loss = 2.25;
  recorder_.step(row);
  recorder_.step(row);
  ASSERT_EQ(rows().size(), 2U);
  Json json = rows()[0];
  EXPECT_GT(json["elapsed_seconds"], 0.0);
  json.erase("elapsed_seconds");
  EXPECT_EQ(json, Json::parse(R"({"kind": "step", "step": 100, "epoch": 1, "learning_rate": 0.001,
                                  "images_seen": 6400, "images_per_second": 5000.0, "loss": 2.25})"));
}

TEST_F(RunRecorderTest, epoch_rows_leave_out_what_was_not_measured) {
  start();
  EpochMetrics row;
  row.epoch = 2;
  row.test_accuracy = 0.5;
  recorder_.epoch(row);
  const Json json = rows().at(0);
  EXPECT_EQ(json["kind"], "epoch");
  EXPECT_EQ(json["test_accuracy"], 0.5);
  EXPECT_TRUE(json.contains("train_loss"));
  EXPECT_TRUE(json.contains("train_seconds"));
  EXPECT_FALSE(json.contains("validation_accuracy"));
}

TEST_F(RunRecorderTest, accuracy_survives_the_summary_to_the_last_digit) {
  start();
  RunResults results;
  results.test_accuracy = 0.1 + 0.2;
  results.test_loss = 1.0 / 3;
  results.local_test_accuracy = {0.25, 0.1 + 0.2};
  recorder_.finish(results);
  const Json json = summary();
  EXPECT_EQ(json["state"], "done");
  EXPECT_EQ(json["test_accuracy"].get<double>(), 0.1 + 0.2);
  EXPECT_EQ(json["test_loss"].get<double>(), 1.0 / 3);
  EXPECT_EQ(json["local_test_accuracy"], Json({0.25, 0.1 + 0.2}));
  EXPECT_FALSE(json.contains("reason"));
}

TEST_F(RunRecorderTest, a_failed_or_stopped_run_says_why) {
  start();
  recorder_.fail("the loss is not finite");
  EXPECT_EQ(summary()["state"], "failed");
  EXPECT_EQ(summary()["reason"], "the loss is not finite");
  EXPECT_FALSE(summary().contains("local_test_accuracy"));
  recorder_.stop({}, "--steps 10");
  EXPECT_EQ(summary()["state"], "stopped");
}

TEST_F(RunRecorderTest, a_run_that_failed_or_was_killed_says_how_far_it_came) {
  start();
  RunResults so_far;
  so_far.steps = 7;
  so_far.epochs = 1;
  so_far.images_seen = 700;
  so_far.train_seconds = 2;
  recorder_.tick(so_far);
  recorder_.step({});
  EXPECT_EQ(summary()["state"], "running");
  EXPECT_EQ(summary()["steps"], 7);
  EXPECT_EQ(summary()["epochs"], 1);
  EXPECT_EQ(summary()["images_per_second"], 350.0);
  so_far.steps = 8;
  recorder_.tick(so_far);
  recorder_.step({});
  EXPECT_EQ(summary()["steps"], 7) << "not with every row";
  recorder_.fail("no progress");
  EXPECT_EQ(summary()["steps"], 8);
  recorder_.step({});
  EXPECT_EQ(summary()["state"], "failed");
}

TEST_F(RunRecorderTest, a_failure_is_reported_even_where_the_folder_is_gone) {
  start();
  std::filesystem::remove_all(recorder_.folder()->path());
  recorder_.fail("disk full");  // must not throw
}

TEST_F(RunRecorderTest, a_job_id_is_recorded) {
  ::setenv("SLURM_JOB_ID", "99", 1);
  start();
  ::unsetenv("SLURM_JOB_ID");
  EXPECT_EQ(summary()["job_id"], "99");
}

TEST(ProcessClocks, count_from_the_start_of_the_process) {
  const ProcessClock first;
  const double before = first.seconds();
  EXPECT_GE(before, 0);
  EXPECT_LT(before, 60);
  EXPECT_GE(first.seconds(), before);
}

}  // namespace
}  // namespace convoy
