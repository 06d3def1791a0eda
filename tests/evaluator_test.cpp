// Evaluation shared out over ranks: the figures of one rank, to the last digit.
// needs: oneDNN
#include "train/evaluator.hpp"

#include <gtest/gtest.h>

#include <mutex>

#include "cpu/backend.hpp"
#include "data/synthetic.hpp"
#include "nn/initialise.hpp"
#include "support/smooth_networks.hpp"
#include "support/thread_ranks.hpp"

namespace convoy {
namespace {

constexpr std::uint64_t kSeed = 3;
constexpr int kBatch = 7;

// What every rank finds of the first weights; fails where two find different figures.
Evaluation evaluated(const ImageSet& images, int ranks) {
  const Model model = make_model(parse_network(test::kSmoothNetwork, "smooth.json"), 10, 3);
  const std::vector<float> first = initial_weights(model.layout, kSeed);
  const PixelScale pixels = pixel_scale({0.5, 0.5, 0.5}, {0.2, 0.2, 0.2}, 3);
  std::mutex mutex;
  std::vector<Evaluation> found;
  test::run_ranks(ranks, [&](Communicator& communicator) {
    const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 1});
    DeviceSet set(*backend, images);
    Weights weights(*backend, model.layout, "weights");
    weights.set(first);
    Evaluator evaluator(*backend, communicator, model, kBatch, 2, pixels, images.count());
    const Evaluation evaluation = evaluator.evaluate(weights, set).value();
    const std::lock_guard lock(mutex);
    found.push_back(evaluation);
  });
  for (const Evaluation& evaluation : found) EXPECT_EQ(evaluation.loss, found.front().loss);
  return found.front();
}

TEST(Evaluators, any_number_of_ranks_finds_the_figures_of_one) {
  const ImageSet images = make_synthetic(250, kSeed).test;  // 50, in eight batches
  const Evaluation one = evaluated(images, 1);
  EXPECT_EQ(one.samples, 50);
  for (const int ranks : {2, 3, 4, 8, 9}) {  // the ninth has no batch
    const Evaluation many = evaluated(images, ranks);
    EXPECT_EQ(many.loss, one.loss) << ranks;
    EXPECT_EQ(many.accuracy, one.accuracy) << ranks;
    EXPECT_EQ(many.accuracy_plain, one.accuracy_plain) << ranks;
    EXPECT_EQ(many.samples, one.samples) << ranks;
  }
}

}  // namespace
}  // namespace convoy
