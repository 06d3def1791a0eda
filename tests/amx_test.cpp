// That in bf16 the CPU backend convolves by AMX where the processor and oneDNN have it, and tells of it in fp32.
// needs: oneDNN
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <string>
#include <vector>

#include "support/backends.hpp"
#include "support/training_run.hpp"

namespace convoy::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Amx : public testing::Test {
 protected:
  void SetUp() override {
    const std::string libraries = make_backend_for_test("cpu", Precision::fp32)->info().libraries;
    if (libraries.find("amx") == std::string::npos) GTEST_SKIP() << libraries << ": no AMX";
  }
};

// Three channels, as many as fill no vector, and many; no other kernels than AMX's for any pass.
TEST_F(Amx, convolves_in_every_pass_in_bf16) {
  const auto backend = make_backend_for_test("cpu", Precision::bf16);
  for (const int channels : {3, 24, 64, 256}) {
    ConvSpec spec;
    spec.input = {15, 15, channels};
    spec.kernel = {3, 3};
    spec.padding = {1, 1, 1, 1};
    spec.output = {15, 15, 64};
    const std::string implementation = backend->plan(spec, 32, Mode::train)->implementation();
    SCOPED_TRACE(fmt::format("{} channels: {}", channels, implementation));
    std::size_t first = 0;
    while (first < implementation.size()) {
      const std::size_t end = std::min(implementation.find(", ", first), implementation.size());
      EXPECT_THAT(implementation.substr(first, end - first), HasSubstr("amx"));
      first = end + 2;
    }
  }
}

TEST_F(Amx, is_told_of_where_a_training_in_fp32_was_not_asked_for) {
  TrainingGround ground;
  const std::vector<Setting> settings = {
      {"data", "synthetic:32"}, {"model", ground.write("tiny.json", kTinyNetwork)}, {"batch", "16"}, {"epochs", "1"}};
  const char* const advice = "AMX: --precision bf16";
  EXPECT_THAT(ground.train(settings).output, HasSubstr(advice));
  EXPECT_THAT(ground.train(with(settings, {{"precision", "fp32"}})).output, Not(HasSubstr(advice)));
  EXPECT_THAT(ground.train(with(settings, {{"precision", "bf16"}})).output, Not(HasSubstr(advice)));
}

}  // namespace
}  // namespace convoy::test
