// Measured plans: a choice is kept on disk and found again, and whatever lies there instead of it stops nobody.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "context.hpp"
#include "cudnn/tuner.hpp"
#include "support/backends.hpp"
#include "support/temporary_folder.hpp"

namespace convoy::cuda::cudnn {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;

class PlanTuner : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = test::reason_to_skip({"cuda", Precision::bf16, 0, ""});
    if (!reason.empty()) GTEST_SKIP() << reason;
    cudnnHandle_t handle = nullptr;
    CHECK_CUDNN(cudnnCreate(&handle));
    handle_.reset(handle);
  }

  Plan choose() { return fastest_plan(convolution_, rules_, handle_.get(), folder_.path()); }
  std::vector<fs::path> kept() const { return {fs::directory_iterator(folder_.path()), fs::directory_iterator()}; }
  static std::string text_of(const fs::path& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  // The gradient that a plan computes of ones, as its bits.
  std::vector<std::uint16_t> run(Plan& plan) {
    constexpr std::uint16_t kOne = 0x3F80;  // bf16
    const auto device = [](const std::vector<std::uint16_t>& values) {
      void* data = nullptr;
      CHECK_CUDA(cudaMalloc(&data, values.size() * sizeof values[0]));
      CHECK_CUDA(cudaMemcpy(data, values.data(), values.size() * sizeof values[0], cudaMemcpyHostToDevice));
      return Owned<void*, cudaFree>(data);
    };
    std::vector<std::uint16_t> result(8 * 16 * 16 * 64);
    const auto input = device(result), output = device(std::vector<std::uint16_t>(result.size(), kOne));
    const auto filters = device(std::vector<std::uint16_t>(64 * 3 * 3 * 64, kOne));
    const auto workspace = device(std::vector<std::uint16_t>(plan.workspace_bytes() / 2 + 1));
    plan.execute(handle_.get(), {input.get(), filters.get(), output.get()}, workspace.get());
    CHECK_CUDA(cudaDeviceSynchronize());
    CHECK_CUDA(cudaMemcpy(result.data(), input.get(), result.size() * sizeof result[0], cudaMemcpyDeviceToHost));
    return result;
  }

  const Convolution convolution_{Pass::backward_data, 8,          {16, 16, 64}, {16, 16, 64}, {3, 3}, {1, 1},
                                 {1, 1, 1, 1},        DType::bf16};
  const Rules rules_{.workspace_limit = kWorkspaceLimit};
  TemporaryFolder folder_;
  CudnnHandle handle_;
};

TEST_F(PlanTuner, keeps_a_cuda_choice_and_takes_it_again) {
  Plan first = choose();
  ASSERT_EQ(kept().size(), 1u);
  const std::string text = text_of(kept()[0]);
  EXPECT_THAT(text, HasSubstr("convolution 16x16x64 -> 16x16x64, kernel 3x3, batch 8, backward data in bf16"));
  // Another name in the file: it can only come from there.
  std::string marked = text;
  marked.replace(marked.find(first.name()), first.name().size(), "engine of the file");
  std::ofstream(kept()[0]) << marked;
  Plan second = choose();
  EXPECT_EQ(second.name(), "engine of the file");
  EXPECT_EQ(second.workspace_bytes(), first.workspace_bytes());
  EXPECT_EQ(second.is_deterministic(), first.is_deterministic());
  EXPECT_EQ(text_of(kept()[0]), marked);
  const auto computed = run(second);
  EXPECT_EQ(computed, run(first));
  EXPECT_EQ(computed[0], 0x4380);                  // a corner sees 2 x 2 pixels of 64 channels: 256
  EXPECT_EQ(computed[(16 * 1 + 1) * 64], 0x4410);  // inside, 3 x 3 of them: 576
}

TEST_F(PlanTuner, measures_cuda_plans_anew_where_the_file_is_broken_or_of_another_key) {
  const Plan first = choose();
  const fs::path file = kept().at(0);
  const std::string text = text_of(file);
  const std::string cut = text.substr(0, text.size() / 2), foreign = "X" + text.substr(1), none;
  for (const std::string& broken : {cut, foreign, none}) {
    std::ofstream(file) << broken;
    EXPECT_THAT(choose().name(), HasSubstr("engine "));
    EXPECT_TRUE(text_of(file).starts_with(text.substr(0, text.find('\n') + 1))) << "not written again";
  }
}

TEST_F(PlanTuner, does_without_a_folder_for_its_cuda_choices) {
  EXPECT_THAT(fastest_plan(convolution_, rules_, handle_.get(), "").name(), HasSubstr("engine "));
  EXPECT_THAT(fastest_plan(convolution_, rules_, handle_.get(), "/dev/null/none").name(), HasSubstr("engine "));
  EXPECT_TRUE(kept().empty());
}

}  // namespace
}  // namespace convoy::cuda::cudnn
