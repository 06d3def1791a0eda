// What failed calls of CUDA's libraries say; no device is needed to fail.
#include "check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convoy/error.hpp"

namespace convoy::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string message_of(cudaError_t status) {
  try {
    CHECK_CUDA(status);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Checks, success_is_silent) { EXPECT_EQ(message_of(cudaSuccess), ""); }

TEST(Checks, a_failure_says_what_and_where_in_one_line) {
  const std::string message = message_of(cudaErrorInvalidValue);
  EXPECT_THAT(message, AllOf(HasSubstr("status (check_test.cpp:"), HasSubstr("cudaErrorInvalidValue"),
                             Not(HasSubstr("\n")), Not(HasSubstr("--no-graph"))));
}

TEST(Checks, a_kernels_fault_says_how_to_find_the_operation) {
  for (const cudaError_t status : {cudaErrorIllegalAddress, cudaErrorLaunchFailure, cudaErrorMisalignedAddress}) {
    EXPECT_THAT(message_of(status), HasSubstr("CUDA_LAUNCH_BLOCKING=1 and --no-graph names its operation"));
  }
}

}  // namespace
}  // namespace convoy::cuda
