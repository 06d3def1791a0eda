// Plans are those of earlier choices: what a run is told, then what was measured and kept on disk. Whatever lies there
// instead of a plan stops nobody.
#include "cudnn/plan_chooser.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "context.hpp"
#include "support/backends.hpp"
#include "support/temporary_folder.hpp"

namespace convoy::cuda::cudnn {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;

class PlanChoice : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = test::reason_to_skip({"cuda", Precision::bf16, 0, ""});
    if (!reason.empty()) GTEST_SKIP() << reason;
    cudnnHandle_t handle = nullptr;
    CHECK_CUDNN(cudnnCreate(&handle));
    handle_.reset(handle);
  }

  PlanChooser chooser(ChooseBy by = ChooseBy::measurement) const { return chooser(by, folder_.path()); }
  PlanChooser chooser(ChooseBy by, const fs::path& cache) const { return {handle_.get(), by, PlanCache(cache)}; }
  Plan choose() { return chooser().choose(convolution_, rules_); }
  // Another name in a plan's text: where it comes out, the text was used.
  static std::string marked(std::string text, const Plan& plan, const std::string& name) {
    return text.replace(text.find(plan.name()), plan.name().size(), name);
  }
  std::vector<fs::path> kept() const { return {fs::directory_iterator(folder_.path()), fs::directory_iterator()}; }
  static std::string text_of(const fs::path& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  void mark_cache(const Plan& plan) const {
    const std::string text = marked(text_of(kept().at(0)), plan, "engine of the cache");
    std::ofstream(kept().at(0)) << text;
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
  const Rules rules_{.workspace_limit = kMostWorkspace};
  TemporaryFolder folder_;
  CudnnHandle handle_;
};

TEST_F(PlanChoice, keeps_a_cuda_choice_and_takes_it_again) {
  Plan first = choose();
  ASSERT_EQ(kept().size(), 1u);
  const std::string text = text_of(kept()[0]);
  EXPECT_THAT(text, HasSubstr("convolution 16x16x64 -> 16x16x64, kernel 3x3, batch 8, backward data in bf16"));
  mark_cache(first);
  const std::string marked_text = text_of(kept()[0]);
  Plan second = choose();
  EXPECT_EQ(second.name(), "engine of the cache");
  EXPECT_EQ(second.workspace_bytes(), first.workspace_bytes());
  EXPECT_EQ(second.is_deterministic(), first.is_deterministic());
  EXPECT_EQ(text_of(kept()[0]), marked_text);
  const auto computed = run(second);
  EXPECT_EQ(computed, run(first));
  EXPECT_EQ(computed[0], 0x4380);                  // a corner sees 2 x 2 pixels of 64 channels: 256
  EXPECT_EQ(computed[(16 * 1 + 1) * 64], 0x4410);  // inside, 3 x 3 of them: 576
}

TEST_F(PlanChoice, measures_cuda_plans_anew_where_the_file_is_broken_or_of_another_key) {
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

TEST_F(PlanChoice, does_without_a_folder_for_its_cuda_choices) {
  for (const char* folder : {"", "/dev/null/none"}) {
    EXPECT_THAT(chooser(ChooseBy::measurement, folder).choose(convolution_, rules_).name(), HasSubstr("engine "));
  }
  EXPECT_TRUE(kept().empty());
}

TEST_F(PlanChoice, told_to_the_cuda_backend_comes_before_the_caches_and_before_a_new_one) {
  for (const ChooseBy by : {ChooseBy::guess, ChooseBy::measurement}) {
    PlanChooser first = chooser(by);
    Plan plan = first.choose(convolution_, rules_);
    ASSERT_EQ(first.choices().size(), 1U);
    const auto& [key, text] = *first.choices().begin();
    EXPECT_THAT(key, HasSubstr("backward data in bf16; stride 1x1"));
    if (by == ChooseBy::measurement) {
      mark_cache(plan);
      EXPECT_EQ(choose().name(), "engine of the cache");
    }
    PlanChooser second = chooser(by);
    second.prefer({{key, marked(text, plan, "engine of the run")}, {"of another device", "no plan"}});
    Plan again = second.choose(convolution_, rules_);
    EXPECT_EQ(again.name(), "engine of the run");
    EXPECT_EQ(run(again), run(plan));
    EXPECT_EQ(second.choices().size(), 2U) << "another device may have its own back";
  }
}

TEST_F(PlanChoice, refused_by_the_cuda_library_is_replaced) {
  PlanChooser first = chooser(ChooseBy::guess), second = chooser(ChooseBy::guess);
  const std::string name = first.choose(convolution_, rules_).name();
  const auto& [key, text] = *first.choices().begin();
  for (const std::string& broken : {text.substr(0, text.size() / 2), std::string("{\"plan\": \"\"}"), std::string()}) {
    second.prefer({{key, broken}});
    EXPECT_EQ(second.choose(convolution_, rules_).name(), name);
    EXPECT_EQ(second.choices(), first.choices());
  }
}

// A measurement that is repeated may end in another way.
TEST_F(PlanChoice, stays_the_same_in_a_cuda_backend_whatever_becomes_of_the_cache) {
  PlanChooser one = chooser();
  const Plan plan = one.choose(convolution_, rules_);
  mark_cache(plan);
  EXPECT_EQ(one.choose(convolution_, rules_).name(), plan.name());
}

}  // namespace
}  // namespace convoy::cuda::cudnn
