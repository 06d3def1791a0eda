// What a run measures and where it starts: the held-out validation set, `eval` that repeats the summary's figures from
// the weights file alone, and --init.
// needs: oneDNN
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/synthetic.hpp"
#include "support/backends.hpp"
#include "support/data_files.hpp"
#include "support/training_run.hpp"
#include "train/evaluate_weights.hpp"
#include "train/weights_file.hpp"

namespace convoy::test {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

class RunEvaluation : public testing::Test {
 protected:
  std::vector<Setting> short_run(const std::string& data) const {
    return {{"data", data},
            {"model", ground_.write("tiny.json", kTinyNetwork)},
            {"batch", "16"},
            {"epochs", "2"},
            {"optimizer", "adam"},
            {"learning-rate", "3e-3"},
            {"evaluation-batch", "32"},
            {"threads", "1"}};
  }
  std::string data_folder(const NamedFiles& files) const {
    const std::filesystem::path folder = ground_.path() / "data";
    std::filesystem::create_directories(folder);
    test::write(folder.string(), files);
    return folder.string();
  }

  TrainingGround ground_;
};

TEST_F(RunEvaluation, with_a_validation_set_epochs_report_it_and_the_test_set_is_read_once_at_the_end) {
  const TrainedRun run =
      ground_.train(with(short_run("synthetic:200"), {{"validation", "0.2"}, {"epochs", "3"}, {"learning-rate", "0"}}));
  EXPECT_EQ(run.results.images_seen, 3 * 160);
  const std::vector<Json> epochs = run.rows("epoch");
  ASSERT_EQ(epochs.size(), 3U);
  for (const Json& row : epochs) {
    ASSERT_TRUE(row.contains("validation_accuracy"));
    ASSERT_TRUE(row.contains("validation_loss"));
    const double hits = 40 * row["validation_accuracy"].get<double>();  // of the 40 that are held out
    EXPECT_NEAR(hits, std::round(hits), 1e-9);
    for (const char* field : {"test_loss", "test_accuracy", "test_accuracy_plain"}) {
      EXPECT_EQ(row.contains(field), &row == &epochs.back()) << field;
    }
  }
  EXPECT_NE(run.results.validation_loss, run.results.test_loss);
  EXPECT_EQ(run.summary()["validation_accuracy"], epochs.back()["validation_accuracy"]);
}

TEST_F(RunEvaluation, the_validation_set_is_evaluated_when_the_run_asks_for_it_and_at_the_end) {
  const TrainedRun run =
      ground_.train(with(short_run("synthetic:100"), {{"validation", "20"}, {"epochs", "5"}, {"evaluate-every", "2"}}));
  std::vector<bool> measured;
  for (const Json& row : run.rows("epoch")) measured.push_back(row.contains("validation_accuracy"));
  EXPECT_EQ(measured, (std::vector<bool>{false, true, false, true, true}));
}

struct EvalCase {
  const char* name;
  const char* data;  // what files_of knows, or synthetic
  std::vector<Setting> settings;
};

void PrintTo(const EvalCase& one, std::ostream* stream) { *stream << one.name; }

NamedFiles files_of(const std::string& data) {
  if (data == "grey") return idx_files(96, 40);
  if (data == "hundred") return cifar100_binary(200, 100);
  return cifar10_binary(40);
}

class RepeatedEvaluation : public RunEvaluation, public testing::WithParamInterface<EvalCase> {};

TEST_P(RepeatedEvaluation, gives_the_figures_of_the_summary_to_the_last_digit) {
  if (GetParam().name == std::string("bf16")) {
    const std::string reason = reason_to_skip({"cpu", Precision::bf16, 0, ""});
    if (!reason.empty()) GTEST_SKIP() << reason;
  }
  const std::string data = is_synthetic(GetParam().data) ? GetParam().data : data_folder(files_of(GetParam().data));
  const TrainedRun run = ground_.train(with(short_run(data), GetParam().settings));
  const Json summary = run.summary();
  RunConfig config = resolve_config("", {{"threads", "1"}});
  const LabelKind labels = GetParam().name == std::string("coarse") ? LabelKind::coarse : LabelKind::fine;
  const Evaluation found =
      evaluate_weights({.weights = run.weights_path(), .data = data, .labels = labels}, config).result;
  EXPECT_EQ(found.loss, summary["test_loss"].get<double>());
  EXPECT_EQ(found.accuracy, summary["test_accuracy"].get<double>());
  EXPECT_EQ(found.accuracy_plain, summary["test_accuracy_plain"].get<double>());
}

const EvalCase kEvalCases[] = {
    {"one_view", "colour", {}},
    {"mirror", "colour", {{"views", "2"}}},
    {"six_views", "colour", {{"views", "6"}}},
    {"unit_pixels", "colour", {{"normalisation", "unit"}, {"views", "6"}}},
    {"grey_six_views", "grey", {{"views", "6"}}},
    {"hundred_classes", "hundred", {{"views", "2"}}},
    {"coarse", "hundred", {{"labels", "coarse"}}},
    {"synthetic_of_another_seed", "synthetic:100", {{"seed", "7"}}},
    {"bf16", "colour", {{"precision", "bf16"}, {"views", "2"}}},
    {"validation", "colour", {{"validation", "20"}, {"views", "2"}}},
    {"stopped", "colour", {{"steps", "3"}, {"views", "2"}}},
};
INSTANTIATE_TEST_SUITE_P(Runs, RepeatedEvaluation, testing::ValuesIn(kEvalCases),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_F(RunEvaluation, weights_are_evaluated_in_the_precision_of_their_run_unless_told_otherwise) {
  const TrainedRun run = ground_.train(short_run("synthetic:96"));
  const Model model = make_model(parse_network(kTinyNetwork, "test"), 10, 3);
  const LoadedWeights loaded = open_weights(run.weights_path());
  WeightsInfo info = *loaded.info;
  EXPECT_EQ(info.precision, "fp32");
  info.precision = "bf16";
  save_weights(run.weights_path(), model.layout, read_weights(loaded, model.layout), info);
  const EvaluateOptions options{.weights = run.weights_path(), .data = "synthetic:96"};
  // On a processor without bf16 the line says that it was asked for.
  EXPECT_THAT(evaluate_weights(options, {}).device_line, HasSubstr("bf16"));
  EXPECT_THAT(evaluate_weights(options, resolve_config("", {{"precision", "fp32"}})).device_line,
              HasSubstr("precision: fp32 [as asked]"));
}

TEST_F(RunEvaluation, weights_start_another_run_as_they_are) {
  const TrainedRun first = ground_.train(short_run("synthetic:96"));
  const TrainedRun second = ground_.train(with(
      short_run("synthetic:96"), {{"init", first.weights_path().string()}, {"learning-rate", "0"}, {"epochs", "1"}}));
  EXPECT_THAT(second.output, HasSubstr("weights start from " + first.weights_path().string() + "\n"));
  const Tensors before = first.tensors();
  for (const auto& [name, values] : second.tensors()) {
    const bool is_statistic = name.find(".running_") != std::string::npos;  // these move without a rate
    if (!is_statistic) EXPECT_EQ(values, before.at(name)) << name;
  }
}

TEST_F(RunEvaluation, weights_of_another_number_of_classes_give_the_body_and_the_head_is_drawn_anew_with_a_line) {
  const TrainedRun first = ground_.train(short_run("synthetic:96"));
  const TrainedRun second = ground_.train(
      with(short_run(data_folder(cifar100_binary(100, 100))),
           {{"init", first.weights_path().string()}, {"seed", "5"}, {"learning-rate", "0"}, {"epochs", "1"}}));
  EXPECT_THAT(second.output, HasSubstr("another number of classes there, so drawn anew: head.weight, head.bias"));
  const Model model = make_model(parse_network(kTinyNetwork, "test"), 100, 3);
  const Tensors before = first.tensors(), drawn = initial_tensors(model, 5);
  for (const auto& [name, values] : second.tensors()) {
    if (name.find(".running_") != std::string::npos) continue;
    EXPECT_EQ(values, name.starts_with("head.") ? drawn.at(name) : before.at(name)) << name;
  }
  EXPECT_EQ(second.tensors().at("head.bias").size(), 100U);
}

}  // namespace
}  // namespace convoy::test
