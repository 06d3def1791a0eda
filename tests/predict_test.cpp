// needs: oneDNN
// Pictures of one's own from training to prediction: the executable on a folder of them.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "data/decoders/decoders.hpp"
#include "io/safetensors.hpp"
#include "support/files.hpp"
#include "support/pictures.hpp"
#include "support/shell.hpp"
#include "support/temporary_folder.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Json = nlohmann::json;

constexpr int kTrained = 16, kTested = 6;  // pictures of each class

// A folder of dark and bright pictures of several sizes, and a network trained on them.
class OwnPictures : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (std::string_view(CONVOY_TEST_EXECUTABLE).empty() || png_library().empty()) return;
    folder_ = std::make_unique<TemporaryFolder>();
    for (int i = 0; i < kTrained + kTested; ++i) {
      const char* part = i < kTrained ? "train" : "test";
      const auto shade = static_cast<std::uint8_t>(4 * i);
      add(fmt::format("set/{}/dark/{:02}.png", part, i), test::flat_png(5 + i, 20, shade, 10, 60));
      add(fmt::format("set/{}/bright/{:02}.png", part, i),
          test::flat_png(30, 12 + i, 255, static_cast<std::uint8_t>(250 - shade), 190));
    }
    std::ofstream(folder_->path() / "tiny.json") << R"({"name": "tiny", "input": [12, 16, "channels"], "layers": [
      {"name": "conv1", "type": "convolution", "filters": 4, "kernel": 3},
      {"name": "relu1", "type": "relu"},
      {"name": "pool1", "type": "global_average_pool"},
      {"name": "head", "type": "dense", "outputs": "classes"}]})";
    training_ =
        run("train --data set --model tiny.json --batch 8 --epochs 12 --optimizer adam --learning-rate 0.02 "
            "--views 2 --out run");
  }
  static void TearDownTestSuite() { folder_.reset(); }
  void SetUp() override {
    if (!folder_) GTEST_SKIP() << "built without the executable or libpng";
    ASSERT_EQ(training_.code, 0) << training_.errors;
  }

  struct Outcome {
    int code = -1;
    std::string output, errors;
    std::vector<Json> lines() const {
      std::vector<Json> all;
      std::istringstream stream(output);
      for (std::string line; std::getline(stream, line);) all.push_back(Json::parse(line));
      return all;
    }
  };
  static Outcome run(const std::string& arguments) {
    const auto errors = folder_->path() / "stderr.txt";
    const auto [code, output] =
        test::run_shell("cd '" + folder_->path().string() + "' && CONVOY_CACHE=cache '" CONVOY_TEST_EXECUTABLE "' " +
                        arguments + " 2> '" + errors.string() + "'");
    return {code, output, test::text_of(errors)};
  }
  static Outcome predict(const std::string& arguments) {
    return run("predict --weights run/weights.safetensors " + arguments);
  }
  static Outcome eval(const std::string& arguments) {
    return run("eval --weights run/weights.safetensors --data set " + arguments);
  }
  static void add(const std::string& file, const test::ByteVector& bytes) {
    test::write_file(folder_->path() / file, bytes);
  }

  static std::unique_ptr<TemporaryFolder> folder_;
  static Outcome training_;
};
std::unique_ptr<TemporaryFolder> OwnPictures::folder_;
OwnPictures::Outcome OwnPictures::training_;

TEST_F(OwnPictures, training_learns_them_and_says_where_they_are_kept_decoded) {
  EXPECT_THAT(training_.output + training_.errors, HasSubstr("kept decoded in "));
  EXPECT_EQ(Json::parse(eval("--json").output)["test_accuracy"], 1.0);
}

TEST_F(OwnPictures, a_line_for_each_picture_in_the_order_given_aligned) {
  const Outcome outcome = predict("set/test/dark/16.png set/train/bright");
  EXPECT_EQ(outcome.code, 0) << outcome.errors;
  EXPECT_EQ(outcome.errors, "");
  EXPECT_THAT(outcome.output, StartsWith("set/test/dark/16.png     dark   "));
  EXPECT_THAT(outcome.output, HasSubstr("\nset/train/bright/00.png  bright "));
  EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1 + kTrained);
}

TEST_F(OwnPictures, predictions_are_the_softmax_of_what_the_evaluation_computes) {
  ASSERT_EQ(eval("--logits logits.safetensors").code, 0);
  const SafetensorsFile file = SafetensorsFile::open(folder_->path() / "logits.safetensors");
  const std::vector<float> logits = file.floats("logits");
  const std::vector<Json> lines = predict("--views 1 --json --top 2 set/test").lines();  // bright first, as the classes
  ASSERT_EQ(lines.size(), 2u * kTested);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const double bright = 1 / (1 + std::exp(static_cast<double>(logits[2 * i + 1]) - logits[2 * i]));
    const double expected = std::max(bright, 1 - bright);
    EXPECT_NEAR(lines[i]["probability"].get<double>(), expected, 1e-6);  // fp32, other batches
    EXPECT_EQ(lines[i]["class"], bright > 0.5 ? "bright" : "dark");
    EXPECT_EQ(lines[i]["top"][0]["class"], lines[i]["class"]);
    EXPECT_NEAR(lines[i]["top"][1]["probability"].get<double>(), 1 - expected, 1e-6);
  }
}

TEST_F(OwnPictures, a_file_that_is_no_picture_gets_a_line_and_the_others_are_predicted) {
  add("other/broken.png", {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'});
  add("other/text.txt", {'x'});
  add("other/whole.png", test::flat_png(3, 3, 250, 250, 250));
  const Outcome outcome = predict("other other/text.txt --json");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.errors, AllOf(StartsWith("convoy: other/broken.png: a broken PNG"),
                                    HasSubstr("\nconvoy: other/text.txt: a PNG or JPEG picture expected")));
  const std::vector<Json> lines = outcome.lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].contains("error"));
  EXPECT_EQ(lines[1]["file"], "other/whole.png");
  EXPECT_EQ(lines[1]["class"], "bright");
  EXPECT_TRUE(lines[2].contains("error"));
  EXPECT_THAT(predict("other").output, AllOf(HasSubstr("other/whole.png"), Not(HasSubstr("broken"))));
  EXPECT_EQ(predict("other/broken.png").code, 1);
}

TEST_F(OwnPictures, pictures_after_two_dashes_are_predicted_with_those_before) {
  add("-odd.png", test::flat_png(3, 3, 250, 250, 250));
  add("plain.png", test::flat_png(3, 3, 250, 250, 250));
  const std::vector<Json> lines = predict("--json plain.png -- -odd.png plain.png").lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1]["file"], "-odd.png");
  EXPECT_EQ(predict("-- plain.png").code, 0);
}

TEST_F(OwnPictures, what_is_not_there_is_wrong_usage) {
  EXPECT_EQ(predict("nowhere.png").code, 2);
  EXPECT_THAT(predict("nowhere.png").errors, StartsWith("convoy: nowhere.png: no such file or folder"));
  EXPECT_EQ(predict("").code, 2);
  EXPECT_EQ(run("predict set").code, 2);
  fs::create_directories(folder_->path() / "nothing");
  EXPECT_THAT(predict("nothing").errors, StartsWith("convoy: nothing: holds no .png"));
}

TEST_F(OwnPictures, what_is_not_there_among_several_and_a_link_to_nowhere_get_a_line_each) {
  add("linked/whole.png", test::flat_png(3, 3, 250, 250, 250));
  fs::create_symlink("gone.png", folder_->path() / "linked" / "link.png");
  const Outcome outcome = predict("nowhere.png linked --json");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.errors, AllOf(StartsWith("convoy: nowhere.png: no such file or folder\n"),
                                    HasSubstr("\nconvoy: linked/link.png: cannot be")));
  const std::vector<Json> lines = outcome.lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].contains("error"));
  EXPECT_TRUE(lines[1].contains("error"));
  EXPECT_EQ(lines[2]["class"], "bright");
}

TEST_F(OwnPictures, evaluation_by_class_adds_up_to_the_accuracy) {
  const Json all = Json::parse(eval("--json --per-class --views 1").output);
  EXPECT_EQ(all["per_class"].size(), 2u);
  EXPECT_EQ(all["per_class"][0]["class"], "bright");
  EXPECT_EQ(all["confusion"][1][0].get<int>() + all["confusion"][1][1].get<int>(), kTested);
  const int right = all["confusion"][0][0].get<int>() + all["confusion"][1][1].get<int>();
  EXPECT_EQ(all["test_accuracy"].get<double>(), right / (2.0 * kTested));
  EXPECT_FALSE(Json::parse(eval("--json").output).contains("confusion"));
  const std::string text = eval("--per-class --picture eval.png").output;
  EXPECT_THAT(text, AllOf(HasSubstr("test accuracy    1\n"), HasSubstr("  dark           6         6    1.0000\n"),
                          HasSubstr("picture: eval.png\n")));
  EXPECT_TRUE(fs::exists(folder_->path() / "eval.png"));
}

TEST_F(OwnPictures, classes_of_other_names_get_a_line) {
  fs::copy(folder_->path() / "set", folder_->path() / "renamed", fs::copy_options::recursive);
  for (const char* part : {"train", "test"}) {
    fs::rename(folder_->path() / "renamed" / part / "dark", folder_->path() / "renamed" / part / "unlit");
  }
  const Outcome outcome = run("eval --weights run/weights.safetensors --data renamed --json");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.errors, HasSubstr("renamed: class 1 is 'unlit', but the weights call it 'dark'"));
  EXPECT_EQ(outcome.lines().size(), 1u);
}

TEST_F(OwnPictures, data_describes_a_folder_at_the_size_asked_for) {
  const Outcome outcome = run("data set --size 20");
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("pictures, read from set"), HasSubstr("20 x 20, 3 channels"),
                                    HasSubstr("0  bright        16         6")));
}

}  // namespace
}  // namespace convoy
