// What is printed while a run trains, with a clock of the test's own.
#include "io/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace convoy {
namespace {

using testing::HasSubstr;
using testing::Not;

// A stream in memory, and a clock that the test moves.
class ProgressTest : public testing::Test {
 protected:
  ProgressTest() : stream_(::open_memstream(&text_, &size_)) {}
  ~ProgressTest() override {
    std::fclose(stream_);
    std::free(text_);
  }
  Progress make(Progress::Style style) {
    return Progress(stream_, style, [this] { return now_; });
  }
  std::string printed() {
    std::fflush(stream_);
    return {text_, size_};
  }

  double now_ = 100;

 private:
  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* stream_;
};

StepMetrics step_row(std::int64_t step, double loss) {
  StepMetrics row;
  row.step = step;
  row.epoch = 1;
  row.loss = loss;
  row.learning_rate = 0.1;
  row.images_per_second = 1234.4;
  return row;
}

TEST_F(ProgressTest, plain_lines_come_at_most_every_ten_seconds) {
  Progress progress = make(Progress::Style::lines);
  progress.begin({1000, 0, 2});
  for (int i = 1; i <= 100; ++i) {
    now_ += 0.25;
    progress.tick(i * 5);
    progress.step(step_row(i, 2.0));
  }
  const std::string text = printed();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);  // 25 seconds
  EXPECT_THAT(text, HasSubstr("epoch 1/2  step 40  loss 2.0000  learning rate 0.1  1,234 images/s"));
  EXPECT_THAT(text, Not(HasSubstr("\r")));
}

TEST_F(ProgressTest, the_time_left_follows_from_rate_and_images_to_come) {
  Progress progress = make(Progress::Style::lines);
  progress.begin({10'000, 0, 1});
  for (int i = 1; i <= 11; ++i) {
    now_ += 1;
    progress.tick(i * 100);
  }
  progress.step(step_row(11, 1.0));
  EXPECT_THAT(printed(), HasSubstr("1:29 left"));  // 8,900 images at 100 a second
}

TEST_F(ProgressTest, every_epoch_has_its_line_with_what_was_measured) {
  Progress progress = make(Progress::Style::lines);
  progress.begin({100, 0, 3});
  EpochMetrics row;
  row.epoch = 2;
  row.train_loss = 1.23456;
  row.test_accuracy = 0.6288;
  row.images_per_second = 99;
  progress.epoch(row);
  EXPECT_THAT(printed(), HasSubstr("epoch 2/3  train loss 1.2346  test accuracy 0.6288  99 images/s\n"));
  EXPECT_THAT(printed(), Not(HasSubstr("validation")));
}

TEST_F(ProgressTest, the_bar_is_redrawn_on_one_line_at_most_ten_times_a_second) {
  Progress progress = make(Progress::Style::bar);
  progress.begin({1000, 0, 4});
  for (int i = 1; i <= 1000; ++i) {
    now_ += 0.001;
    progress.tick(i);
  }
  const std::string text = printed();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 0);
  const auto drawings = std::count(text.begin(), text.end(), '\r');
  EXPECT_GE(drawings, 9);
  EXPECT_LE(drawings, 11);
  EXPECT_THAT(text, HasSubstr("epoch 1/4 ["));
}

TEST_F(ProgressTest, a_line_is_printed_above_the_bar_and_the_end_leaves_none) {
  Progress progress = make(Progress::Style::bar);
  progress.begin({10, 0, 1});
  now_ += 1;
  progress.tick(5);
  progress.line("note");
  EXPECT_THAT(printed(), HasSubstr("\r\x1b[Knote\n"));
  now_ += 1;
  progress.tick(6);
  progress.end();
  EXPECT_TRUE(printed().ends_with("\r\x1b[K"));
  progress.tick(7);
  EXPECT_TRUE(printed().ends_with("\r\x1b[K"));
}

TEST(FinalTable, shows_accuracy_speed_and_where_the_outputs_lie) {
  RunFacts facts;
  facts.device = "cpu (test, 2 threads)";
  facts.precision = "fp32";
  facts.data_name = "SYNTHETIC";
  RunResults results;
  results.test_accuracy = 0.94052;
  results.test_accuracy_plain = 0.9312;
  results.local_test_accuracy = {0.6021, 0.5948, 0.6127};
  results.steps = 1600;
  results.epochs = 8;
  results.train_seconds = 80;
  results.images_seen = 400000;
  const std::string table = final_table(facts, results, 90, "runs/a");
  EXPECT_THAT(table, HasSubstr("test accuracy         0.9405\n"));
  EXPECT_THAT(table, HasSubstr("  without views       0.9312\n"));
  EXPECT_THAT(table, HasSubstr("  of each rank alone  0.5948-0.6127 (3 ranks)\n"));
  EXPECT_THAT(table, HasSubstr("8 (1,600 steps)"));
  EXPECT_THAT(table, HasSubstr("time per epoch        10 s"));
  EXPECT_THAT(table, HasSubstr("images/s              5,000"));
  EXPECT_THAT(table, HasSubstr("outputs               runs/a/"));
  EXPECT_THAT(table, HasSubstr("SYNTHETIC"));
  EXPECT_THAT(table, Not(HasSubstr("test loss")));
}

TEST(Numbers, are_printed_for_people) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(-1000), "-1,000");
  EXPECT_EQ(with_commas(-100), "-100");
  EXPECT_EQ(with_commas(1234567), "1,234,567");
  EXPECT_EQ(duration(0.44), "0.4 s");
  EXPECT_EQ(duration(9.96), "10 s");
  EXPECT_EQ(duration(59.7), "1:00");
  EXPECT_EQ(duration(185), "3:05");
  EXPECT_EQ(duration(7385), "2:03:05");
}

}  // namespace
}  // namespace convoy
