// labels: gpu
// What a run says of a kernel that meets a fault: a library preloaded by the tests (preload/kernel_fault.cpp) gives one
// of them an address that is nobody's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "support/backends.hpp"
#include "support/program_test.hpp"

namespace convoy::test {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kHint = "the same with CUDA_LAUNCH_BLOCKING=1 and --no-graph names its operation";
constexpr const char* kIllegalAddress = "\\(cudaErrorIllegalAddress\\)";

class KernelFault : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    if (IsSkipped()) return;
    if (const std::string lacks = lacks_gpus(1); !lacks.empty()) GTEST_SKIP() << lacks;
    std::filesystem::create_symlink(preload("kernel_fault"), file("kernel_fault.so"));  // LD_PRELOAD takes no spaces
  }
  // `fault`: see preload/kernel_fault.cpp. Four steps of one kind. What it says.
  std::string train(const std::string& fault, const std::string& environment, const std::string& options) const {
    const ShellOutcome outcome =
        shell("timeout 240 env LD_PRELOAD=./kernel_fault.so CONVOY_TEST_FAULT='" + fault + "' " + environment +
              " \"$CONVOY\" train --device cuda --model seed --data synthetic:64 --batch 16 "
              "--epochs 1 --evaluation-batch 64 --optimizer adam --out run " +
              options + " 2>&1");
    EXPECT_EQ(outcome.code, 1) << outcome.output;
    return outcome.output;
  }
};

struct Part {
  const char *fault, *operation, *file;
};

// The last layers are the first to go backward.
TEST_F(KernelFault, on_cuda_names_its_operation_where_launches_wait) {
  for (const Part& part : {Part{"begin_step 2", "input", "input.cu"}, Part{"cross_entropy 1", "loss", "loss.cu"},
                           Part{"relu_backward 1", "dense1", "relu.cu"}, Part{"relu_backward 2", "conv3", "relu.cu"},
                           Part{"update_kernel 1", "update", "update.cu"}}) {
    SCOPED_TRACE(part.fault);
    EXPECT_THAT(train(part.fault, "CUDA_LAUNCH_BLOCKING=1", "--no-graph"),
                AllOf(ContainsRegex("operation '" + std::string(part.operation) + "': GPU 0: cudaGetLastError \\(" +
                                    part.file + ":[0-9]+\\): .*" + kIllegalAddress),
                      Not(HasSubstr(kHint))));
  }
}

// By whichever call comes next: of the runtime, of cuBLAS in a dense layer, of cuDNN in a convolution.
TEST_F(KernelFault, on_cuda_says_elsewhere_how_to_find_its_operation) {
  struct Way {
    const char *fault, *options, *said_by;
  };
  for (const Way& way : {Way{"relu_backward 3", "", "GPU 0: cuda[A-Z]"},  // of the second step, which is captured
                         Way{"cross_entropy 1", "--no-graph", "GPU 0: cuda[A-Z]"},
                         Way{"relu_backward 1 soon", "--no-graph", "cuBLAS says .*"},
                         Way{"relu_backward 2 soon", "--no-graph", "cuDNN says .*"}}) {
    SCOPED_TRACE(way.fault);
    EXPECT_THAT(train(way.fault, "CUDA_LAUNCH_BLOCKING=0", way.options),
                ContainsRegex(way.said_by + std::string(".*") + kIllegalAddress + "; the kernel ran before: " + kHint));
  }
}

}  // namespace
}  // namespace convoy::test
