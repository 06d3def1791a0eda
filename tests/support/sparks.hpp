// Trainings in which numbers stop being finite in a step and at an operation that the test chooses: a few images, the
// sparks, shine in a channel that is dark in all others, and the weights of that channel are too large for it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/sampler.hpp"
#include "train/run_config.hpp"

namespace convoy::test {

// Of the network `spark`: conv1 (with ReLU), conv2, head; no biases. 0: as drawn.
struct SparkWeights {
  float conv1 = 6e37F;  // nine pixels of the shining channel to the first filter; the sum over four ranks is finite
  float conv2 = 0;      // from there to each filter; all else of conv2 and conv1 is 0 then, as of `head`
  float head = 0;       // from everywhere to the last class, of which no image is
};

// An epoch is kSparkSteps steps of kSparkBatch images.
inline constexpr int kSparkBatch = 4, kSparkSteps = 12;

// In this folder, replacing what another call wrote there; as settings for a run. `sparks` are sample numbers. With
// conv2 given the other images are black: then nothing changes in a step without a spark.
std::vector<Setting> write_sparks(const std::filesystem::path& folder, const std::vector<std::int32_t>& sparks,
                                  const SparkWeights& weights = {}, bool in_test_set = false);

// The sample of the first epoch in this step (from 1) at this place of its batch (from 0), with seed 0.
std::int32_t sample_of_step(int step, int place);

}  // namespace convoy::test
