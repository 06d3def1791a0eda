// The executable as a user meets it: exit codes, one-line messages, run folders, and eval that repeats the summary.
// needs: oneDNN
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "support/data_files.hpp"
#include "support/files.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"
#include "train/run_options.hpp"

namespace convoy {
namespace {

using test::text_of;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Json = nlohmann::json;

struct Outcome {
  int code = -1;
  std::string output, errors;
};

class CommandLine : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty()) GTEST_SKIP() << "built without the executable";
  }

  // In the test's own folder, without data to be found by chance.
  Outcome convoy(const std::string& arguments, const std::string& before = "") const {
    const auto errors = folder_.path() / "stderr.txt";
    const std::string line = "cd '" + folder_.path().string() + "' && " + before +
                             "env -u CONVOY_DATA -u SLURM_JOB_ID '" + CONVOY_TEST_EXECUTABLE + "' " + arguments +
                             " 2> '" + errors.string() + "'";
    auto [code, output] = test::run_shell(line);
    return {code, std::move(output), text_of(errors)};
  }
  void expect_error(const std::string& arguments, const std::string& message) const {
    const Outcome outcome = convoy(arguments);
    EXPECT_EQ(outcome.code, 1) << arguments;
    EXPECT_THAT(outcome.errors, StartsWith("convoy: " + message)) << arguments;
    EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1) << outcome.errors;
  }
  void expect_usage_error(const std::string& arguments, const std::string& message) const {
    const Outcome outcome = convoy(arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_THAT(outcome.errors, StartsWith("convoy: ")) << arguments;
    EXPECT_THAT(outcome.errors, HasSubstr(message)) << arguments;
    EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1) << outcome.errors;
  }
  Json summary(const std::string& run) const {
    return Json::parse(text_of(folder_.path() / run / "summary.json"), nullptr, false);
  }
  bool exists(const std::string& name) const { return std::filesystem::exists(folder_.path() / name); }

  static constexpr const char* kShortRun =
      "train --data synthetic:200 --model seed --batch 40 --epochs 2 --optimizer adam --learning-rate 1e-3 --threads "
      "1 ";

  TemporaryFolder folder_;
};

TEST_F(CommandLine, help_teaches_with_examples) {
  for (const char* command : {"train", "eval", "info", "data", "bench"}) {
    const Outcome outcome = convoy(std::string(command) + " --help");
    EXPECT_EQ(outcome.code, 0);
    const std::size_t examples = outcome.output.find("Examples:\n");
    ASSERT_NE(examples, std::string::npos) << command;
    const std::string rest = outcome.output.substr(examples);
    EXPECT_NE(rest.find("\n  convoy ", rest.find("\n  convoy ") + 1), std::string::npos) << command;
  }
}

TEST_F(CommandLine, help_of_training_fits_a_screen_and_help_all_has_every_option) {
  const std::string usual = convoy("train --help").output, all = convoy("train --help-all").output;
  EXPECT_LE(std::count(usual.begin(), usual.end(), '\n'), 45) << usual;
  EXPECT_GT(std::count(all.begin(), all.end(), '\n'), 80);
  for (const char* option : {"--data ", "--recipe ", "--out ", "--average ", "--virtual-ranks ", "--help-all"}) {
    EXPECT_THAT(usual, HasSubstr(option));
  }
  EXPECT_THAT(usual, Not(HasSubstr("--outer-momentum")));
  for (const RunOption& option : run_options()) {
    EXPECT_THAT(all, HasSubstr("--" + std::string(option.name))) << option.name;
  }
  EXPECT_THAT(all, HasSubstr("Examples:\n"));
  EXPECT_EQ(convoy("train --help-all").code, 0);
}

TEST_F(CommandLine, the_version_names_compiler_and_build) {
  EXPECT_THAT(convoy("--version").output, StartsWith("convoy "));
  EXPECT_EQ(convoy("--version").code, 0);
}

TEST_F(CommandLine, mistyped_words_get_the_nearest_one_and_exit_2) {
  expect_usage_error("trian", "unknown command 'trian'; did you mean 'train'?");
  expect_usage_error("train --lerning-rate 0.1", "unknown option '--lerning-rate'; did you mean '--learning-rate'?");
  expect_usage_error("train --optimizer adan", "--optimizer: one of sgd|adam|adamw|muon expected, 'adan' found; did");
  expect_usage_error("train --recipe fashon", "did you mean 'fashion'?");
  expect_usage_error("train --epochs", "--epochs");
  expect_usage_error("train --epochs x", "--epochs: a whole number expected, 'x' found");
}

TEST_F(CommandLine, without_data_nothing_is_trained_and_the_message_says_how_to_get_some) {
  expect_usage_error("train --recipe seed-baseline", "tools/fetch_cifar10");
  expect_usage_error("eval --weights w.safetensors", "tools/fetch_cifar10");
  EXPECT_FALSE(exists("runs"));
}

TEST_F(CommandLine, a_wrong_path_leaves_no_run_folder) {
  expect_usage_error("train --data nowhere --out run", "nowhere");
  expect_usage_error("train --data synthetic:100 --model nowhere --out run", "nowhere");
  EXPECT_FALSE(exists("run"));
}

TEST_F(CommandLine, shipped_things_are_listed) {
  EXPECT_THAT(convoy("info --recipes").output, HasSubstr("airbench94"));
  EXPECT_THAT(convoy("info --models").output, HasSubstr("resnet18"));
  EXPECT_THAT(convoy("info --devices").output, HasSubstr("cpu"));
  EXPECT_THAT(convoy("info --model seed").output, HasSubstr("356,810"));
  EXPECT_THAT(convoy("data synthetic:100").output, HasSubstr("SYNTHETIC"));
}

TEST_F(CommandLine, a_short_run_leaves_everything_that_is_promised_and_eval_repeats_its_figures) {
  const Outcome outcome = convoy(std::string(kShortRun) + "--log-every 2 --out 'my run'");
  ASSERT_EQ(outcome.code, 0) << outcome.errors;
  EXPECT_THAT(outcome.output, StartsWith("device: cpu"));
  EXPECT_THAT(outcome.output, HasSubstr("test accuracy"));
  EXPECT_THAT(outcome.output, HasSubstr("my run/"));
  EXPECT_THAT(outcome.output, Not(HasSubstr("\r")));
  const Json json = summary("my run");
  EXPECT_EQ(json["state"], "done");
  EXPECT_EQ(json["steps"], 10);
  EXPECT_EQ(json["epochs"], 2);
  EXPECT_EQ(json["images_seen"], 400);
  for (const char* field : {"test_accuracy",
                            "test_loss",
                            "test_accuracy_plain",
                            "seconds",
                            "startup_seconds",
                            "train_seconds",
                            "evaluation_seconds",
                            "images_per_second",
                            "world_size",
                            "device",
                            "precision",
                            "configuration",
                            "version",
                            "commit",
                            "compiler",
                            "versions",
                            "host",
                            "command_line",
                            "data_checksum",
                            "peak_host_bytes"}) {
    EXPECT_TRUE(json.contains(field)) << field;
  }
  EXPECT_GE(json["seconds"].get<double>(), json["startup_seconds"].get<double>() + json["train_seconds"].get<double>());

  std::ifstream metrics(folder_.path() / "my run" / "metrics.jsonl");
  int steps = 0, epochs = 0;
  for (std::string line; std::getline(metrics, line);) (Json::parse(line)["kind"] == "step" ? steps : epochs) += 1;
  EXPECT_EQ(steps, 5);
  EXPECT_EQ(epochs, 2);

  const Outcome eval = convoy("eval --weights 'my run/weights.safetensors' --data synthetic:200 --threads 1 --json");
  ASSERT_EQ(eval.code, 0) << eval.errors;
  const Json repeated = Json::parse(eval.output);
  EXPECT_EQ(repeated["test_accuracy"].get<double>(), json["test_accuracy"].get<double>());
  EXPECT_EQ(repeated["test_loss"].get<double>(), json["test_loss"].get<double>());
}

TEST_F(CommandLine, test_images_are_the_first_ones_for_train_and_eval) {
  ASSERT_EQ(convoy(std::string(kShortRun) + "--steps 1 --test-images 30 --out run").code, 0);
  const std::string eval = "eval --weights run/weights.safetensors --data synthetic:200 --threads 1 --json ";
  const Json first = Json::parse(convoy(eval + "--test-images 30").output), all = Json::parse(convoy(eval).output),
             more = Json::parse(convoy(eval + "--test-images 999999").output);
  EXPECT_EQ(first["samples"], 30);
  EXPECT_EQ(first["test_loss"], summary("run")["test_loss"]);
  EXPECT_GT(all["samples"], 30);
  EXPECT_EQ(more, all);
}

TEST_F(CommandLine, the_resolved_recipe_repeats_the_run_bit_for_bit) {
  ASSERT_EQ(convoy(std::string(kShortRun) + "--flip random --translate 2 --seed 7 --out first").code, 0);
  const Outcome again = convoy("train --recipe first/recipe.toml --out second");
  ASSERT_EQ(again.code, 0) << again.errors;
  EXPECT_EQ(text_of(folder_.path() / "first/recipe.toml"), text_of(folder_.path() / "second/recipe.toml"));
  EXPECT_EQ(text_of(folder_.path() / "first/weights.safetensors"),
            text_of(folder_.path() / "second/weights.safetensors"));
  EXPECT_EQ(summary("first")["test_loss"], summary("second")["test_loss"]);
}

TEST_F(CommandLine, a_run_in_the_same_folder_moves_the_old_one_aside_and_says_so) {
  ASSERT_EQ(convoy(std::string(kShortRun) + "--steps 1 --out run").code, 0);
  EXPECT_EQ(summary("run")["state"], "stopped");
  EXPECT_EQ(summary("run")["reason"], "--steps 1");
  const Outcome second = convoy(std::string(kShortRun) + "--steps 2 --out run");
  EXPECT_THAT(second.output, HasSubstr("the run in run is now run.1"));
  EXPECT_EQ(summary("run")["steps"], 2);
  EXPECT_EQ(summary("run.1")["steps"], 1);
}

TEST_F(CommandLine, a_run_that_diverges_says_so_on_one_line_and_exits_with_1) {
  const Outcome outcome = convoy(
      "train --data synthetic:200 --model seed --batch 40 --optimizer sgd --learning-rate 1e8 --threads 1 --out run");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.errors, StartsWith("convoy: the loss is not a finite number"));
  EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1) << outcome.errors;
  EXPECT_EQ(summary("run")["state"], "failed");
}

TEST_F(CommandLine, a_precision_that_the_device_lacks_is_an_error_when_asked_for_and_a_fallback_from_a_recipe) {
  expect_usage_error(std::string(kShortRun) + "--device cpu --precision fp16", "--precision fp16");
  std::ofstream(folder_.path() / "half.toml") << "precision = \"fp16\"\ndevice = \"cpu\"\n";
  const Outcome outcome = convoy(std::string(kShortRun) + "--recipe ./half.toml --steps 1 --out run");
  EXPECT_EQ(outcome.code, 0) << outcome.errors;
  EXPECT_THAT(outcome.output, HasSubstr("recipe asks for fp16"));
  EXPECT_EQ(summary("run")["precision"], "fp32");
}

TEST_F(CommandLine, an_automatic_choice_of_the_cpu_warns_where_a_gpu_was_allocated) {
  ::setenv("CUDA_VISIBLE_DEVICES", "0", 1);
  const Outcome automatic = convoy(std::string(kShortRun) + "--steps 1 --out a");
  const Outcome asked = convoy(std::string(kShortRun) + "--steps 1 --device cpu --out b");
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  EXPECT_THAT(automatic.output, HasSubstr("warning: trains on the CPU although"));
  EXPECT_THAT(asked.output, Not(HasSubstr("warning")));
}

TEST_F(CommandLine, the_bench_prints_one_line_of_json) {
  const Outcome outcome = convoy("bench --step --model seed --batch 8 --threads 1 --steps 2 --json");
  ASSERT_EQ(outcome.code, 0) << outcome.errors;
  const Json json = Json::parse(outcome.output);
  EXPECT_GT(json["images_per_second"].get<double>(), 0);
  EXPECT_EQ(json["precision"], "fp32");
  EXPECT_EQ(json["seconds"].size(), 2U);
}

TEST_F(CommandLine, the_bench_sets_the_step_beside_its_convolutions_alone) {
  const Outcome outcome = convoy("bench --layers --model seed --batch 8 --threads 1 --steps 2");
  ASSERT_EQ(outcome.code, 0) << outcome.errors;
  struct Times {
    double forward = 0, forward_floor = 0, forward_share = 0, backward = 0;
  };
  std::map<std::string, Times> rows;
  std::istringstream lines(outcome.output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream text(line.substr(std::min<std::size_t>(line.size(), 18)));
    Times times;
    if (text >> times.forward >> times.forward_floor >> times.forward_share >> times.backward) {
      rows[line.substr(0, line.find("  "))] = times;
    }
  }
  ASSERT_TRUE(rows.contains("dense1") && rows.contains("convolutions alone")) << outcome.output;
  const Times &first = rows["conv1"], &second = rows["conv2"], &third = rows["conv3"];
  const Times& alone = rows["convolutions alone"];
  constexpr double kRounding = 3 * 0.0005 + 0.0005;  // three printed figures and their sum, to 0.001 each
  EXPECT_NEAR(alone.forward, first.forward + second.forward + third.forward, kRounding) << outcome.output;
  EXPECT_NEAR(alone.backward, first.backward + second.backward + third.backward, kRounding) << outcome.output;
  EXPECT_GT(first.forward_floor, 0);

  double step = 0, sum = 0, ratio = 0;
  const std::size_t last = outcome.output.find("whole step ");
  ASSERT_NE(last, std::string::npos) << outcome.output;
  ASSERT_EQ(std::sscanf(outcome.output.c_str() + last, "whole step %lf ms / convolutions alone %lf ms = %lf", &step,
                        &sum, &ratio),
            3)
      << outcome.output;
  EXPECT_NEAR(sum, alone.forward + alone.backward, 0.002) << outcome.output;
  EXPECT_NEAR(ratio, step / sum, 0.006) << outcome.output;
}

TEST_F(CommandLine, an_output_that_is_an_input_is_refused_and_left_alone) {
  for (const char* name : {"w", "w2", "data.bin"}) std::ofstream(folder_.path() / name) << "precious";
  expect_usage_error("export --weights w --onnx ./w", "--onnx ./w: is the --weights file itself; name another");
  expect_usage_error("average w w2 --out w2", "--out w2: is one of the weights files itself");
  expect_usage_error("eval --weights w --data data.bin --logits w", "--logits w: is the --weights file itself");
  expect_usage_error("eval --weights w --data data.bin --picture data.bin", "--picture data.bin: is the --data file");
  expect_usage_error("data data.bin --picture data.bin", "--picture data.bin: is the data file itself");
  for (const char* name : {"w", "w2", "data.bin"}) EXPECT_EQ(text_of(folder_.path() / name), "precious") << name;
}

TEST_F(CommandLine, a_picture_that_does_not_fit_on_the_disk_is_an_error_and_leaves_no_file) {
  const Outcome outcome = convoy("data synthetic:100 --picture sheet.png", "trap '' XFSZ; ulimit -f 1; ");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.errors, StartsWith("convoy: sheet.png: cannot be written: "));
  EXPECT_FALSE(exists("sheet.png"));
  expect_error("data synthetic:100 --picture /dev/full", "/dev/full: a device or a pipe");
}

TEST_F(CommandLine, what_follows_two_dashes_is_an_argument_or_refused) {
  expect_usage_error(std::string(kShortRun) + "--out run -- --steps 1", "unknown argument '--steps' after '--'");
  expect_usage_error("--nonsense info --models", "unknown option '--nonsense'");
  expect_usage_error("-- train", "which command?");
  expect_usage_error("data synthetic:50 -- synthetic:60", "");
  EXPECT_FALSE(exists("run"));
  EXPECT_THAT(convoy("data -- synthetic:50").output, HasSubstr("SYNTHETIC"));
  EXPECT_EQ(convoy("info --models --").code, 0);
}

TEST_F(CommandLine, a_result_that_cannot_be_printed_is_an_error_but_a_run_has_its_folder) {
  for (const char* command : {"info --recipe fashion", "completion bash", "data synthetic:50", "--help"}) {
    expect_error(std::string(command) + " > /dev/full", "standard output cannot be written: ");
  }
  const std::string to_nobody =
      "trap '' PIPE; { { sleep 0.2; '" CONVOY_TEST_EXECUTABLE "' completion bash; } | true; }";
  EXPECT_EQ(test::run_shell(to_nobody + " 2>&1").output, "");
  EXPECT_EQ(convoy(std::string(kShortRun) + "--steps 1 --out run > /dev/full").code, 0);
  EXPECT_EQ(summary("run")["state"], "stopped");
}

TEST_F(CommandLine, a_run_goes_on_when_the_reader_of_its_output_leaves) {
  const std::string run = "'" CONVOY_TEST_EXECUTABLE "' " + std::string(kShortRun) + "--out run";
  const auto outcome = test::run_shell("cd '" + folder_.path().string() + "'\n{ " + run +
                                       "; echo $? > code; } 2> errors | true\ncat code errors");
  EXPECT_EQ(outcome.output, "0\n");
  EXPECT_EQ(summary("run")["state"], "done");
}

TEST_F(CommandLine, the_variable_for_data_may_name_synthetic_ones_and_is_named_where_it_is_wrong) {
  const auto with = [&](const std::string& data) {
    return test::run_shell("cd '" + folder_.path().string() + "' && CONVOY_DATA=" + data +
                           " '" CONVOY_TEST_EXECUTABLE "' data 2>&1");
  };
  EXPECT_THAT(with("synthetic:50").output, HasSubstr("SYNTHETIC"));
  EXPECT_EQ(with("/nowhere").output, "convoy: CONVOY_DATA: /nowhere: no such file or folder\n");
  EXPECT_EQ(with("/nowhere").code, 2);
}

TEST_F(CommandLine, an_evaluation_batch_beyond_the_set_takes_no_more_memory_and_changes_no_figure) {
  const std::string run = std::string(kShortRun) + "--validation 60 ";
  ASSERT_EQ(convoy(run + "--evaluation-batch 20000 --out large").code, 0);
  ASSERT_EQ(convoy(run + "--evaluation-batch 40 --out exact").code, 0);  // the test set's size
  EXPECT_LT(summary("large")["peak_host_bytes"], 1 << 30);
  for (const char* figure : {"test_accuracy", "test_loss", "validation_loss"}) {
    EXPECT_EQ(summary("large")[figure], summary("exact")[figure]) << figure;
  }
  const Outcome outcome = convoy(
      "eval --weights large/weights.safetensors --data synthetic:200 --json --threads 1 --evaluation-batch 20000");
  EXPECT_EQ(Json::parse(outcome.output, nullptr, false)["test_loss"], summary("large")["test_loss"]) << outcome.errors;
}

TEST_F(CommandLine, a_network_of_another_size_is_tested_benched_and_trained_on_synthetic_images) {
  std::ofstream(folder_.path() / "small.json") << R"({"name": "small", "input": [12, 16, 1], "layers": [
      {"name": "conv1", "type": "convolution", "filters": 4, "kernel": 3},
      {"name": "pool1", "type": "global_average_pool"},
      {"name": "head", "type": "dense", "outputs": "classes"}]})";
  for (const char* command :
       {"selftest", "bench --batch 8 --steps 1", "train --data synthetic:50 --steps 1 --batch 8"}) {
    const Outcome outcome = convoy(std::string(command) + " --model small.json --device cpu --threads 1");
    EXPECT_EQ(outcome.code, 0) << command << outcome.output << outcome.errors;
  }
  expect_usage_error("bench --batch 1000000", "--batch 1000000: a step on at most 250000 images");
}

TEST_F(CommandLine, recalibration_of_an_average_takes_a_small_set_and_refuses_other_classes_and_channels) {
  ASSERT_EQ(convoy("train --data synthetic:40 --model airbench_narrow --batch 20 --steps 1 --threads 1 --out run").code,
            0);
  const std::string average = "average run/weights.safetensors run/weights.safetensors --out mean --recalibrate 3 ";
  EXPECT_THAT(convoy(average + "--data synthetic:40 --threads 1").output,
              HasSubstr("normalisation statistics of 1 batches of 40 images"));
  const std::string folder = folder_.path().string() + "/";
  std::filesystem::create_directory(folder_.path() / "hundred");
  test::write((folder_.path() / "hundred").string(), test::cifar100_binary(20, 20));
  expect_error(average + "--data hundred", folder + "hundred: 100 classes, but the weights know 10");
  std::filesystem::create_directory(folder_.path() / "grey");
  test::write((folder_.path() / "grey").string(), test::idx_files(20, 20));
  expect_error(average + "--data grey", folder + "grey: images of 1 channels, but the weights were trained on 3");
}

TEST_F(CommandLine, a_warm_up_longer_than_the_run_and_a_shift_beyond_the_image_are_refused) {
  expect_usage_error(std::string(kShortRun) + "--warmup-steps 1000000000000",
                     "warmup-steps: a warm-up of 1000000000000");
  expect_usage_error(std::string(kShortRun) + "--warmup-steps 11", "longer than the run of 10");
  expect_usage_error(std::string(kShortRun) + "--translate 32", "--translate 32: less than the images' 32 pixels");
}

TEST_F(CommandLine, options_that_would_do_nothing_are_refused) {
  expect_usage_error("data synthetic:50 --data synthetic:60", "two data sets, synthetic:50 and --data synthetic:60");
  expect_usage_error("bench --layers --json", "--layers excludes --json");
  std::filesystem::create_directory(folder_.path() / "cifar");
  test::write((folder_.path() / "cifar").string(), test::cifar10_binary(20));
  expect_usage_error("data cifar --size 16", "--size 16: cifar has images of 32x32");
  EXPECT_EQ(convoy("data cifar --size 32").code, 0);
  EXPECT_THAT(convoy("data synthetic:50 --size 16").output, HasSubstr("16 x 16"));
}

TEST_F(CommandLine, a_network_from_a_pipe_is_refused_as_one) {
  const Outcome outcome = convoy("info --model pipe", "mkfifo pipe && ");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.errors, HasSubstr("model 'pipe': a pipe, which can be read once only: save it to a file first"));
}

}  // namespace
}  // namespace convoy
