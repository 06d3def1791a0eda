// labels: unit gpu-less
// Every convolution of every network of the zoo has plans in cuDNN, on GPUs that need not be here: the real library is
// asked, by the properties of a device. What it says of numbers and speed only a GPU can tell.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <climits>
#include <fstream>
#include <iterator>
#include <map>
#include <variant>

#include "context.hpp"
#include "convoy/error.hpp"
#include "cudnn/plan.hpp"
#include "io/embedded.hpp"
#include "nn/lower.hpp"

namespace convoy::cuda::cudnn {
namespace {

using ::testing::HasSubstr;

// The lowered convolutions, each shape once.
std::map<std::string, ConvSpec> convolutions_of_the_zoo() {
  std::map<std::string, ConvSpec> found;
  for (const EmbeddedFile& file : embedded_networks()) {
    const Network network = load_network(std::string(file.name));
    const Shapes shapes = infer_shapes(network, 10, 3);
    for (const LoweredOperation& operation : lower(network, shapes, make_layout(network, shapes)).operations) {
      const auto* spec = std::get_if<ConvSpec>(&operation.spec);
      if (spec == nullptr) continue;
      const Padding& padding = spec->padding;
      found.emplace(fmt::format("{} {} {} {} {} {} {}", describe(pass_of(*spec, Pass::forward, 1, DType::f32)),
                                spec->stride.height, spec->stride.width, padding.top, padding.left, spec->bias,
                                static_cast<int>(spec->activation)),
                    *spec);
    }
  }
  return found;
}

std::string properties_of(const std::string& device) {
  std::ifstream file(fmt::format("{}/tests/cuda/devices/{}.json", CONVOY_TEST_SOURCE_DIR, device));
  return {std::istreambuf_iterator<char>(file), {}};
}

Rules rules_of(Precision precision, bool deterministic) {
  return {.workspace_limit = kMostWorkspace, .tf32 = precision == Precision::tf32, .deterministic = deterministic};
}

constexpr Pass kPasses[] = {Pass::forward, Pass::backward_data, Pass::backward_weights};
constexpr Precision kPrecisions[] = {Precision::fp32, Precision::tf32, Precision::bf16, Precision::fp16};

class CudnnPlans : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (cudnnGetVersion() < 90800) GTEST_SKIP() << "cuDNN " << cudnnGetVersion() << " plans only for devices it finds";
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, CudnnPlans, testing::Values("a100", "h100", "b200"),
                         [](const auto& device) { return std::string(device.param); });

// Calls use(plan, convolution, spec, precision) for every convolution, pass, batch size and precision.
template <typename Use>
void for_every_plan(const char* device, const std::vector<int>& batches, bool deterministic, const Use& use) {
  const Target target{std::string_view(properties_of(device))};
  for (const auto& [key, spec] : convolutions_of_the_zoo()) {
    for (const Precision precision : kPrecisions) {
      for (const int batch : batches) {
        for (const Pass pass : kPasses) {
          const Convolution convolution = pass_of(spec, pass, batch, compute_type(precision));
          SCOPED_TRACE(fmt::format("{} ({})", describe(convolution), name(precision)));
          try {
            use(Plan(convolution, rules_of(precision, deterministic), target), convolution, spec, precision);
          } catch (const Error& error) {
            ADD_FAILURE() << error.what();
          }
        }
      }
    }
  }
}

TEST_P(CudnnPlans, exist_for_every_convolution_of_the_zoo_within_the_workspace_limit) {
  int plans = 0;
  for_every_plan(GetParam(), {1, 500, 2000}, false,
                 [&](const Plan& plan, const Convolution&, const ConvSpec&, Precision) {
                   ++plans;
                   EXPECT_LE(plan.workspace_bytes(), kMostWorkspace);
                 });
  EXPECT_GT(plans, 500);
}

TEST_P(CudnnPlans, use_tensor_cores_where_the_precision_allows_it_and_there_are_channels_enough) {
  for_every_plan(GetParam(), {2000}, false,
                 [&](const Plan& plan, const Convolution&, const ConvSpec& spec, Precision precision) {
                   const bool is_narrow = compute_type(precision) != DType::f32;
                   if (precision == Precision::fp32) EXPECT_FALSE(plan.on_tensor_cores()) << plan.name();
                   // Pointwise ones are bound by memory: what multiplies matters little.
                   const bool is_pointwise = spec.kernel == Size2{1, 1};
                   const int least_channels = is_narrow ? 8 : precision == Precision::tf32 ? 16 : INT_MAX;
                   if (spec.input.channels >= least_channels && !is_pointwise)
                     EXPECT_TRUE(plan.on_tensor_cores()) << plan.name();
                 });
}

TEST_P(CudnnPlans, are_deterministic_where_that_is_asked_for) {
  for_every_plan(GetParam(), {500}, true, [&](const Plan& plan, const Convolution&, const ConvSpec&, Precision) {
    EXPECT_TRUE(plan.is_deterministic());
  });
}

// A run that goes on makes its plans of the texts that it left.
TEST_P(CudnnPlans, are_the_same_after_the_way_through_their_texts) {
  const Target target{std::string_view(properties_of(GetParam()))};
  for_every_plan(GetParam(), {500}, true,
                 [&](const Plan& plan, const Convolution& convolution, const ConvSpec&, Precision) {
                   const std::string text = plan.text();
                   const auto again = Plan::from_text(text, convolution, target);
                   ASSERT_TRUE(again) << plan.name();
                   EXPECT_EQ(again->text(), text);
                   EXPECT_EQ(again->workspace_bytes(), plan.workspace_bytes());
                 });
}

TEST_P(CudnnPlans, that_cannot_be_made_are_refused_by_the_name_of_the_convolution) {
  const Target target{std::string_view(properties_of(GetParam()))};
  ConvSpec spec;
  spec.input = {16, 16, 64};
  spec.output = {16, 16, 64};
  spec.kernel = {3, 3};
  spec.padding = {1, 1, 1, 1};
  const Rules rules = rules_of(Precision::fp32, true);
  EXPECT_NO_THROW(Plan(pass_of(spec, Pass::backward_data, 128, DType::f32), rules, target));
  spec.output.height = 15;
  try {
    const Plan plan(pass_of(spec, Pass::backward_data, 128, DType::f32), rules, target);
    ADD_FAILURE() << "cuDNN took an output of the wrong height: " << plan.name();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("convolution 16x16x64 -> 15x16x64, kernel 3x3, batch 128, backward data"));
    EXPECT_THAT(error.what(), HasSubstr("cuDNN says"));
  }
}

}  // namespace
}  // namespace convoy::cuda::cudnn
