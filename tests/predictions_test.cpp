// What logits say: probabilities, confusions, and the mistakes made most surely.
#include "train/predictions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/canvas.hpp"
#include "data/decoders/decoders.hpp"
#include "data/image_file.hpp"
#include "support/temporary_folder.hpp"
#include "train/evaluation_picture.hpp"

namespace convoy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Predictions, are_the_softmax_in_its_order_and_the_first_of_equal_ones) {
  const std::vector<float> logits{std::log(2.0F), std::log(5.0F), std::log(1.0F), std::log(2.0F)};
  const std::vector<Prediction> all = most_probable(logits, 9);
  ASSERT_EQ(all.size(), 4u);
  const int order[] = {1, 0, 3, 2};
  const double probabilities[] = {0.5, 0.2, 0.2, 0.1};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(all[i].class_index, order[i]);
    EXPECT_NEAR(all[i].probability, probabilities[i], 1e-7);  // logits in fp32
  }
  EXPECT_EQ(most_probable(logits, 2).size(), 2u);
}

TEST(Predictions, of_large_logits_do_not_overflow) {
  EXPECT_DOUBLE_EQ(most_probable(std::vector<float>{1000, -1000}, 1).front().probability, 1.0);
}

// Five images of three classes; rows: what is said of each.
const std::vector<float> kLogits{5, 0, 0, 0, 4, 0, 0, 3, 0, 2, 0, 1, 0, 0, 9};
const std::vector<std::int32_t> kLabels{0, 0, 1, 2, 1};
const std::vector<std::string> kNames{"cat", "dog", "owl"};

TEST(Confusions, are_counted_by_true_and_predicted_class) {
  const Confusion confusion = confusion_of(kLogits, kLabels, kNames);
  EXPECT_THAT(confusion.counts, ElementsAre(1, 1, 0, 0, 1, 1, 1, 0, 0));
  EXPECT_EQ(confusion.images(0), 2);
  EXPECT_EQ(confusion.images(2), 1);
  EXPECT_EQ(confusion.accuracy(1), 0.5);
  EXPECT_EQ(confusion.accuracy(2), 0.0);
}

TEST(Confusions, are_a_table_and_a_matrix_and_for_many_classes_the_most_frequent) {
  const std::string text = to_text(confusion_of(kLogits, kLabels, kNames));
  EXPECT_THAT(text, HasSubstr("     1  dog           2         1    0.5000\n"));
  EXPECT_THAT(text, HasSubstr("\n       0 1 2\n     0 1 1 0\n     1 0 1 1\n     2 1 0 0\n"));
  Confusion many{std::vector<std::string>(100, "same"), std::vector<std::int64_t>(10'000)};
  many.class_names[7] = "seven";
  many.counts[7 * 100 + 7] = 50;
  many.counts[7 * 100 + 8] = 3;
  many.counts[8 * 100 + 7] = 5;
  EXPECT_THAT(to_text(many), HasSubstr("       5  same taken for seven\n       3  seven taken for same\n"));
}

TEST(Mistakes, come_with_the_surest_first) {
  const std::vector<Mistake> mistakes = most_confident_mistakes(kLogits, kLabels, 3, 9);
  ASSERT_EQ(mistakes.size(), 3u);
  EXPECT_EQ(mistakes[0].image, 4u);
  EXPECT_EQ(mistakes[0].truth, 1);
  EXPECT_EQ(mistakes[0].predicted.class_index, 2);
  EXPECT_EQ(mistakes[1].image, 1u);
  EXPECT_EQ(mistakes[2].image, 3u);
  EXPECT_EQ(most_confident_mistakes(kLogits, kLabels, 3, 1).size(), 1u);
}

TEST(EvaluationPictures, are_written_for_two_and_for_many_classes_with_and_without_mistakes) {
  if (png_library().empty()) GTEST_SKIP() << "built without libpng";
  const TemporaryFolder folder;
  const std::string path = folder.path() / "eval.png";
  ImageSet images;
  images.image = {8, 8, 1};
  images.images.assign(5 * 64, 99);
  images.labels = kLabels;
  const Confusion few = confusion_of(kLogits, kLabels, kNames);
  write_evaluation_picture(few, most_confident_mistakes(kLogits, kLabels, 3, 24), images, "title", path);
  const auto size = [&] { return read_picture(path).extent; };
  const Extent with = size();
  write_evaluation_picture(few, {}, images, "title", path);
  EXPECT_GT(with.height, size().height);
  Confusion many{std::vector<std::string>(200, "a class with a long name"), std::vector<std::int64_t>(40'000, 1)};
  write_evaluation_picture(many, {}, images, "title", path);
  EXPECT_LT(size().width, 1600);
  // The darkest cell of the first row is that of the class that has most.
  many.counts[3] = 1'000'000;
  write_evaluation_picture(many, {}, images, "title", path);
  const Picture picture = read_picture(path);
  int darkest = 255;
  for (const std::uint8_t value : picture.pixels) darkest = std::min<int>(darkest, value);
  EXPECT_LT(darkest, 12);
}

TEST(Canvases, letters_beyond_ascii_are_question_marks) {
  EXPECT_EQ(text_width("k\xc3\xa4tzchen"), text_width("k?tzchen"));
  EXPECT_EQ(text_width("\xe7\x8c\xab"), text_width("?"));
}

}  // namespace
}  // namespace convoy
