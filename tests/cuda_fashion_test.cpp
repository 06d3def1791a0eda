// labels: gpu slow
// A short training on real pictures: the GPU's kernels, plans and recorded steps learn, not only agree with the CPU's.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "support/backends.hpp"
#include "support/training_run.hpp"

namespace convoy::test {
namespace {

constexpr const char* kFashion = "/usr/share/datasets/fashion-mnist";  // where Debian's package puts it
constexpr double kLearned = 0.80;  // of the first 1000 test images; 0.10 by chance, 0.888 when this was written

class FashionOnCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string lacks = lacks_gpus(); !lacks.empty()) GTEST_SKIP() << lacks;
    if (!std::filesystem::exists(kFashion)) GTEST_SKIP() << "no " << kFashion << " (dataset-fashion-mnist)";
  }
};

TEST_F(FashionOnCuda, on_cuda_reaches_80_percent_in_120_steps) {
  TrainingGround ground;
  const TrainedRun run = ground.train({{"data", kFashion},
                                       {"device", "cuda"},
                                       {"epochs", "1"},
                                       {"batch", "100"},
                                       {"samples-per-rank", "12000"},
                                       {"test-images", "1000"},
                                       {"views", "1"}},
                                      "fashion");
  EXPECT_EQ(run.summary()["steps"], 120);
  EXPECT_GE(run.results.test_accuracy, kLearned);
}

}  // namespace
}  // namespace convoy::test
