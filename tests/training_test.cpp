// Training as a whole: equal bits for equal seeds, whatever is evaluated in between; batches, groups, clipping and
// loss reduction as they are stated.
// needs: oneDNN
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/data_files.hpp"
#include "support/training_run.hpp"

namespace convoy::test {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

class Training : public testing::Test {
 protected:
  // 200 images, the last batch of an epoch smaller; everything random is switched on.
  std::vector<Setting> restless() const {
    return {{"data", "synthetic:200"}, {"model", ground_.write("tiny.json", kTinyNetwork)},
            {"batch", "48"},           {"epochs", "2"},
            {"optimizer", "adam"},     {"learning-rate", "1e-3"},
            {"flip", "random"},        {"translate", "2"},
            {"cutout", "8"},           {"brightness", "0.2"},
            {"log-every", "1"},        {"evaluation-batch", "40"},
            {"threads", "1"}};
  }
  // Nothing random but the order.
  std::vector<Setting> plain() const {
    return {{"data", "synthetic:128"}, {"model", ground_.write("plain.json", kPlainNetwork)},
            {"batch", "32"},           {"epochs", "1"},
            {"optimizer", "sgd"},      {"learning-rate", "0.0625"},
            {"log-every", "1"},        {"evaluation-batch", "40"},
            {"evaluate-every", "end"}, {"threads", "1"}};
  }
  void expect_failed_without_weights() const {
    const TrainedRun failed{ground_.last_folder(), {}, ""};
    EXPECT_EQ(failed.summary()["state"], "failed");
    EXPECT_GT(failed.summary()["steps"], 0);
    EXPECT_GT(failed.summary()["images_seen"], 0);
    EXPECT_GT(failed.summary()["train_seconds"], 0);
    EXPECT_THAT(failed.summary()["reason"].get<std::string>(), HasSubstr("a lower --learning-rate"));
    EXPECT_FALSE(std::filesystem::exists(failed.weights_path()));
  }

  TrainingGround ground_;
};

Tensors difference(const Tensors& after, const Tensors& before) {
  Tensors moved = after;
  for (auto& [name, values] : moved) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] -= before.at(name)[i];
  }
  return moved;
}

double norm(const Tensors& tensors) {
  double squares = 0;
  for (const auto& [name, values] : tensors) {
    for (const float value : values) squares += static_cast<double>(value) * static_cast<double>(value);
  }
  return std::sqrt(squares);
}

TEST_F(Training, the_recipe_of_a_run_with_groups_and_validation_repeats_it_to_the_bit_on_two_threads) {
  const TrainedRun first = ground_.train(with(restless(), {{"seed", "3"},
                                                           {"threads", "2"},
                                                           {"validation", "20"},
                                                           {"clip-norm", "0.5"},
                                                           {"label-smoothing", "0.1"},
                                                           {"group", "filters.optimizer=muon"},
                                                           {"group", "filters.learning-rate=0.02"},
                                                           {"group", "filters.momentum=0.9"},
                                                           {"group", "biases.until-epoch=1"}}));
  const TrainedRun again = ground_.train({}, (first.folder / "recipe.toml").string());
  EXPECT_EQ(first.text_of("weights.safetensors"), again.text_of("weights.safetensors"));
  EXPECT_EQ(first.losses(), again.losses());
  EXPECT_EQ(first.results.validation_loss, again.results.validation_loss);
}

TEST_F(Training, another_number_of_threads_sees_the_same_batches_and_augmentation) {
  const std::vector<double> one = ground_.train(restless()).losses();
  const std::vector<double> two = ground_.train(with(restless(), {{"threads", "2"}})).losses();
  ASSERT_EQ(two.size(), 10U);
  ASSERT_EQ(one.size(), two.size());
  // fp32 sums in another order, through ten steps of Adam; other batches differ by percents (the next test).
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(one[i] / two[i], 1, 1e-4) << "step " << i + 1;
}

TEST_F(Training, another_seed_takes_other_batches_of_the_same_data_from_the_same_weights) {
  const std::string data = ground_.tested_on_its_training_images(64);
  const TrainedRun start = ground_.train(with(plain(), {{"data", data}}));
  const std::vector<Setting> settings = with(plain(), {{"data", data}, {"init", start.weights_path().string()}});
  const double first = ground_.train(with(settings, {{"seed", "1"}})).losses().front();
  const double other = ground_.train(with(settings, {{"seed", "2"}})).losses().front();
  EXPECT_GT(std::abs(first / other - 1), 1e-3);
}

TEST_F(Training, an_evaluation_in_the_middle_changes_no_bit) {
  const TrainedRun often = ground_.train(with(restless(), {{"evaluate-every", "1"}, {"views", "6"}}));
  const TrainedRun once = ground_.train(with(restless(), {{"evaluate-every", "end"}, {"views", "6"}}));
  ASSERT_TRUE(often.rows("epoch").front().contains("test_accuracy"));
  ASSERT_FALSE(once.rows("epoch").front().contains("test_accuracy"));
  EXPECT_EQ(often.losses(), once.losses());
  EXPECT_EQ(often.text_of("weights.safetensors"), once.text_of("weights.safetensors"));
}

TEST_F(Training, a_run_stopped_by_steps_took_the_first_steps_of_the_whole_schedule) {
  const std::vector<Setting> settings = with(restless(), {{"schedule", "linear"}, {"warmup-steps", "2"}});
  const TrainedRun whole = ground_.train(settings);
  const TrainedRun stopped = ground_.train(with(settings, {{"steps", "7"}}));
  std::vector<Json> expected = whole.rows("step"), found = stopped.rows("step");
  ASSERT_EQ(found.size(), 7U);
  ASSERT_EQ(expected.size(), 10U);
  expected.resize(7);
  for (std::vector<Json>* rows : {&expected, &found}) {
    for (Json& row : *rows) row.erase("elapsed_seconds"), row.erase("images_per_second");
  }
  EXPECT_EQ(found, expected);
}

TEST_F(Training, an_epoch_that_no_batch_divides_trains_every_sample_once_and_weights_the_loss_by_true_counts) {
  // A rate of zero leaves the weights alone, so the epoch's loss is that of an evaluation of the same images.
  const std::string data = ground_.tested_on_its_training_images(21);
  const TrainedRun run = ground_.train(with(plain(), {{"data", data}, {"batch", "40"}, {"learning-rate", "0"}}));
  EXPECT_EQ(run.results.steps, 2);
  EXPECT_EQ(run.results.images_seen, 42);
  const double train_loss = run.results.train_loss.value(), test_loss = run.results.test_loss.value();
  EXPECT_NEAR(train_loss / test_loss, 1, 1e-6);  // fp32 losses of another batch size, double sums
  EXPECT_EQ(run.rows("epoch").front()["train_accuracy"].get<double>(), run.results.test_accuracy.value());

  const std::vector<double> losses = run.losses();  // of 40 and of 2 samples
  EXPECT_NEAR((40 * losses.at(0) + 2 * losses.at(1)) / 42 / train_loss, 1, 1e-12);
  EXPECT_GT(std::abs((losses[0] + losses[1]) / 2 / train_loss - 1), 1e-3) << "the counts make no difference here";
}

TEST_F(Training, clipping_shortens_the_step_to_the_limit_and_keeps_its_direction) {
  const std::vector<Setting> settings = with(plain(), {{"steps", "1"}, {"learning-rate", "1"}});
  const Tensors start = initial_tensors(make_model(parse_network(kPlainNetwork, "test"), 10, 3), 0);
  const Tensors free_step = difference(ground_.train(settings).tensors(), start);
  const TrainedRun clipped = ground_.train(with(settings, {{"clip-norm", "0.25"}}));
  const Tensors clipped_step = difference(clipped.tensors(), start);
  ASSERT_GT(norm(free_step), 0.5);
  // Rounding of weights of 0.2 at 2^-27 each, over 2,000 of them, is 4e-7.
  EXPECT_NEAR(norm(clipped_step), 0.25, 1e-6);
  const double factor = 0.25 / norm(free_step);
  Tensors expected = free_step;
  for (auto& [name, values] : expected) {
    for (float& value : values) value = static_cast<float>(factor * static_cast<double>(value));
  }
  EXPECT_LT(norm(difference(clipped_step, expected)), 1e-6);
  const TrainedRun roomy = ground_.train(with(settings, {{"clip-norm", "100"}}));
  EXPECT_EQ(difference(roomy.tensors(), start), free_step) << "a limit that is not reached";
}

TEST_F(Training, a_summed_loss_differs_from_the_mean_by_the_batch) {
  // Powers of two: the factor moves from the gradient to the rate without a rounding.
  const std::vector<Setting> settings = with(plain(), {{"momentum", "0.5"}, {"epochs", "2"}});
  const TrainedRun mean = ground_.train(with(settings, {{"loss-reduction", "mean"}, {"learning-rate", "0.0625"}}));
  const TrainedRun sum = ground_.train(with(settings, {{"loss-reduction", "sum"}, {"learning-rate", "0.001953125"}}));
  EXPECT_EQ(mean.tensors(), sum.tensors());
  EXPECT_EQ(mean.losses(), sum.losses()) << "what is reported is the mean";
}

constexpr const char* kFrozenNetwork = R"({"name": "frozen", "input": [32, 32, "channels"], "layers": [
  {"name": "fixed", "type": "convolution", "filters": 8, "kernel": 3, "stride": 2, "frozen": "weights",
   "bias_group": "early"},
  {"name": "norm1", "type": "batch_normalisation", "scale": false},
  {"name": "relu1", "type": "relu"},
  {"name": "conv2", "type": "convolution", "filters": 8, "kernel": 3, "stride": 2},
  {"name": "norm2", "type": "batch_normalisation"},
  {"name": "relu2", "type": "relu"},
  {"name": "head", "type": "dense", "outputs": "classes"}]})";

TEST_F(Training, frozen_parameters_never_move_groups_stop_at_their_epoch_and_everything_else_moves) {
  const std::vector<Setting> settings = with(restless(), {{"model", ground_.write("frozen.json", kFrozenNetwork)},
                                                          {"epochs", "3"},
                                                          {"weight-decay", "0.01"},
                                                          {"group", "early.until-epoch=2"},
                                                          {"group", "filters.optimizer=muon"},
                                                          {"group", "filters.learning-rate=0.1"},
                                                          {"group", "filters.momentum=0.5"},
                                                          {"group", "filters.until-epoch=2"}});
  const Tensors start = initial_tensors(make_model(parse_network(kFrozenNetwork, "test"), 10, 3), 0);
  const Tensors two_epochs = ground_.train(with(settings, {{"steps", "10"}})).tensors();
  const Tensors end = ground_.train(settings).tensors();
  for (const auto& [name, values] : end) {
    const bool is_frozen = name == "fixed.weight" || name == "norm1.weight";
    const bool has_stopped = name == "fixed.bias" || name == "conv2.weight";
    EXPECT_EQ(two_epochs.at(name) == start.at(name), is_frozen) << name;
    EXPECT_EQ(values == two_epochs.at(name), is_frozen || has_stopped) << name;
  }
  EXPECT_EQ(end.size(), 14U);
}

TEST_F(Training, a_loss_that_is_not_finite_stops_the_run_and_leaves_no_weights) {
  const std::vector<Setting> settings = with(plain(), {{"epochs", "2"}, {"learning-rate", "1e8"}});
  EXPECT_THAT(message_of([&] { ground_.train(settings); }), HasSubstr("the loss is not a finite number"));
  expect_failed_without_weights();
}

// Eight layers multiply what one enormous step made of each.
std::string deep_network() {
  std::string layers;
  for (int i = 1; i <= 8; ++i) layers += fmt::format(R"({{"name": "dense{}", "type": "dense", "outputs": 8}}, )", i);
  return R"({"name": "deep", "input": [32, 32, "channels"], "layers": [)" + layers +
         R"({"name": "head", "type": "dense", "outputs": "classes"}]})";
}

TEST_F(Training, weights_that_the_last_step_broke_fail_the_run_too) {
  // The loss of the only step is that of the start; what the step made of the weights shows in the evaluation.
  const std::vector<Setting> settings =
      with(plain(), {{"model", ground_.write("deep.json", deep_network())}, {"steps", "1"}, {"learning-rate", "1e9"}});
  EXPECT_THAT(message_of([&] { ground_.train(settings); }), HasSubstr("the loss of the evaluation is not a finite"));
  expect_failed_without_weights();
}

}  // namespace
}  // namespace convoy::test
