// Normalisation statistics taken anew: they are the means of the batches' own, whatever the running ones were.
// needs: oneDNN
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "support/smooth_networks.hpp"
#include "support/training_run.hpp"

namespace convoy::test {
namespace {

constexpr double kTolerance = 1e-6;  // fp32 sums of two values, and PyTorch's orders

class Recalibrations : public testing::Test {
 protected:
  // Weights that stay where they are, `steps` of 40 images.
  Tensors statistics(const std::string& network, int steps, const std::vector<Setting>& more) {
    return ground_
        .train(with({{"data", "synthetic:200"},
                     {"model", ground_.write("network.json", network)},
                     {"batch", "40"},
                     {"epochs", "1"},
                     {"steps", std::to_string(steps)},
                     {"learning-rate", "0"},
                     {"flip", "random"},
                     {"threads", "1"}},
                    more))
        .tensors();
  }
  // The network with running statistics that are the last batch's own.
  static std::string without_memory() {
    std::string network(kSmoothNormNetwork);
    const std::string plain = "\"batch_normalisation\"";
    for (std::size_t at = 0; (at = network.find(plain, at)) != std::string::npos; at += plain.size()) {
      network.insert(at + plain.size(), ", \"momentum\": 1");
    }
    return network;
  }
  TrainingGround ground_;
};

void expect_mean(const Tensors& found, const Tensors& first, const Tensors& second) {
  int tensors = 0;
  for (const auto& [name, values] : found) {
    if (name.find("running_") == std::string::npos) continue;
    ++tensors;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double mean = (static_cast<double>(first.at(name)[i]) + static_cast<double>(second.at(name)[i])) / 2;
      EXPECT_NEAR(values[i], mean, kTolerance * std::max(1.0, mean)) << name << "[" << i << "]";
    }
  }
  EXPECT_EQ(tensors, 4);
}

TEST_F(Recalibrations, statistics_become_the_means_of_the_batches_own) {
  const Tensors first = statistics(without_memory(), 1, {{"recalibrate", "0"}});
  const Tensors second = statistics(without_memory(), 2, {{"recalibrate", "0"}});
  const std::string network(kSmoothNormNetwork);
  expect_mean(statistics(network, 2, {{"recalibrate", "1"}}), first, first);
  expect_mean(statistics(network, 2, {{"recalibrate", "2"}}), first, second);
}

TEST_F(Recalibrations, happen_by_default_where_ranks_make_several_steps_between_averages) {
  const std::string network(kSmoothNormNetwork);
  const auto changes = [&](const std::string& policy, const std::string& ranks) {
    const std::vector<Setting> settings = {{"virtual-ranks", ranks}, {"average", policy}};
    return statistics(network, 4, settings) != statistics(network, 4, with(settings, {{"recalibrate", "0"}}));
  };
  EXPECT_TRUE(changes("every:2", "2"));
  EXPECT_FALSE(changes("every:1", "2"));
  EXPECT_FALSE(changes("step", "2"));
  EXPECT_FALSE(changes("every:2", "1"));
}

TEST_F(Recalibrations, take_no_more_batches_than_an_epoch_has) {
  const std::vector<Setting> settings = {{"virtual-ranks", "2"}, {"average", "every:2"}, {"samples-per-rank", "40"}};
  const std::string network(kSmoothNormNetwork);
  // Four batches of 20 images.
  EXPECT_EQ(statistics(network, 2, with(settings, {{"recalibrate", "7"}})),
            statistics(network, 2, with(settings, {{"recalibrate", "4"}})));
}

TEST_F(Recalibrations, change_no_bit_of_training) {
  const std::vector<Setting> settings = {{"virtual-ranks", "2"}, {"average", "every:2"}, {"learning-rate", "0.05"},
                                         {"epochs", "2"},        {"steps", "0"},         {"log-every", "1"}};
  const auto losses = [&](const char* batches) {
    statistics(std::string(kSmoothNormNetwork), 1, with(settings, {{"recalibrate", batches}}));
    return TrainedRun{ground_.last_folder(), {}, ""}.losses();
  };
  EXPECT_EQ(losses("0"), losses("2"));
}

}  // namespace
}  // namespace convoy::test
